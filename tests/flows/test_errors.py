"""Exit codes."""

from __future__ import annotations

import errno
import sqlite3

import pytest

from flows import errors


def told(cause: Exception) -> ConnectionError:
    """As MLflow's failures reach a command that requires it."""
    error = ConnectionError(f"MLflow: {cause}")
    error.__cause__ = cause
    return error


@pytest.mark.fault("F08", "F17")
@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (sqlite3.OperationalError("database or disk is full"), 7),
        (OSError(errno.ENOSPC, "No space left on device", "mlflow.db"), 7),
        (sqlite3.OperationalError("database is locked"), 5),
        (ConnectionError("the server says: No space left on device"), 5),
    ],
)
def test_a_disk_that_is_full_is_not_a_service_that_is_away(cause: Exception, code: int) -> None:
    assert errors.code_of(told(cause)) == code
