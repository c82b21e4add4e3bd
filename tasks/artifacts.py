"""Where MLflow keeps the files of a workspace's runs, also after the workspace has moved.

MLflow writes the absolute address of each experiment's and each run's folder into its database. In
a workspace that was moved or copied these name the old place, where files would be written and
looked for. So they are put right before that database is opened.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from settings.runtime import Runtime
from tasks.progress import say

FOLDER = "mlartifacts"


def artifact_folder(runtime: Runtime, experiment: str) -> Path:
    """Where the files of an experiment's runs lie."""
    return (runtime.workspace / FOLDER / experiment).resolve()


def rehome(runtime: Runtime) -> None:
    """Makes the workspace's own MLflow name the folders that lie in it now. A database elsewhere
    may serve several workspaces and is left alone, as are folders that the user chose."""
    path = runtime.workspace / "mlflow.db"
    if runtime.tracking is not None or not path.is_file():
        return
    # What MLflow itself cannot open, it complains about when it is asked.
    with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=1.0)) as database:
        with database:
            moved = _put_right(database, runtime)
        if moved:
            say(f"MLflow now looks for its files in {runtime.workspace / FOLDER}")


def _put_right(database: sqlite3.Connection, runtime: Runtime) -> bool:
    rows = database.execute("SELECT experiment_id, name, artifact_location FROM experiments")
    moved = [
        (identity, old, new)
        for identity, name, old in rows.fetchall()
        if (new := artifact_folder(runtime, name).as_uri()) != old and _is_ours(str(old), new)
    ]
    for identity, old, new in moved:
        change = "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?"
        database.execute(change, [new, identity])
        database.execute(
            "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) "
            "WHERE experiment_id = ? AND substr(artifact_uri, 1, ?) = ?",
            [new, len(old) + 1, identity, len(old) + 1, f"{old}/"],
        )
    return bool(moved)


def _is_ours(old: str, new: str) -> bool:
    """True for `file:///anywhere/mlartifacts/NAME`."""
    return old.startswith("file:") and old.split("/")[-2:] == new.split("/")[-2:]
