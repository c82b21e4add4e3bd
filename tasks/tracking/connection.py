"""How MLflow is reached: probed first, without the import that takes seconds."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

PROBE_SECONDS = 3.0
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # by default an unreachable server takes 247 s to fail
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout is for the results table
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "DO_NOT_TRACK": "1",
}


def set_defaults() -> None:
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def probe(uri: str) -> None:
    """Raises if the address certainly does not work: connection refused, no response, a lock."""
    if uri.startswith("sqlite:///"):
        path = uri.removeprefix("sqlite:///")
        Path(path).resolve().parent.mkdir(parents=True, exist_ok=True)
        if Path(path).exists():
            connection = sqlite3.connect(path, timeout=PROBE_SECONDS, isolation_level=None)
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            except sqlite3.OperationalError:  # another process writes, or the disk is full
                raise
            except sqlite3.DatabaseError as error:
                raise ValueError(
                    f"{error}: move {path} away, and `rdpt sync` writes another one"
                ) from error
            finally:
                connection.close()
    elif uri.startswith(("http://", "https://")):
        try:
            with urllib.request.urlopen(uri.rstrip("/") + "/health", timeout=PROBE_SECONDS):
                pass
        except urllib.error.HTTPError as error:
            if error.code >= 500:  # other servers may reject the request
                raise


def connect(uri: str) -> MlflowClient:
    from mlflow.tracking import MlflowClient

    # Hides some 40 lines about creating a database; only after the import, which sets levels.
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri)


def first_line(error: BaseException) -> str:
    lines = shown(str(error)).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def shown(text: str) -> str:
    """An address without its user and password."""
    return re.sub(r"://[^/@\s]+@", "://", text)
