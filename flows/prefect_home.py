"""Prefect without a server of its own to look after: a home in the workspace, no telemetry."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from flows import leftovers
from flows.workspace import notes_of
from rdpt_core.store.notes import Notes
from settings.runtime import Runtime


def prepare_prefect(runtime: Runtime) -> None:
    """Sets Prefect's variables before it is imported.

    A PREFECT_API_URL of the user's stands: then the run is seen in that server's UI.
    """
    home = (runtime.workspace / "prefect").resolve()
    home.mkdir(parents=True, exist_ok=True)
    leftovers.end_servers(home)
    set_aside_if_damaged(home / "prefect.db", notes_of(runtime))
    logs = (runtime.workspace / "logs").resolve()
    logs.mkdir(parents=True, exist_ok=True)
    defaults = {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",  # failures are said once, by us; see logs/
        "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
        "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
        "PREFECT_CLI_PROMPT": "false",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    os.environ[leftovers.STARTED_BY] = leftovers.this_process()


def set_aside_if_damaged(database: Path, notes: Notes) -> None:
    """For Prefect's own record of runs, which nothing else needs: over a damaged one its server
    does not start, and says nothing for five minutes (measured)."""
    if not database.is_file():
        return
    try:
        with closing(sqlite3.connect(database, timeout=1.0, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError:  # an active run writes to it
        return
    except sqlite3.DatabaseError as error:
        notes.refuse(database, f"is damaged ({error})")
        for beside in ("-wal", "-shm"):
            notes.set_aside(database.with_name(database.name + beside))
