"""MLflow's artifact folders of a workspace, including after the workspace has moved.

MLflow stores the absolute address of the folder of each experiment, run and model in its database.
In a moved or copied workspace these name the old path, where MLflow would write and look for files.
So rdpt corrects them before that database is opened.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from settings.runtime import Runtime
from tasks.progress import say

FOLDER = "mlartifacts"


def artifact_folder(runtime: Runtime, experiment: str) -> Path:
    """The folder for the files of an experiment's runs."""
    return (runtime.workspace / FOLDER / experiment).resolve()


def rehome(runtime: Runtime) -> None:
    """Corrects the folders in the workspace's own MLflow database. A database elsewhere may serve
    several workspaces and is not changed; neither are folders that the user chose."""
    path = runtime.workspace / "mlflow.db"
    if runtime.tracking is not None or not path.is_file():
        return
    # If MLflow cannot open the database, it reports that itself later.
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
        for table, column in (("runs", "artifact_uri"), ("logged_models", "artifact_location")):
            database.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                f"WHERE experiment_id = ? AND substr({column}, 1, ?) = ?",
                [new, len(old) + 1, identity, len(old) + 1, f"{old}/"],
            )
    return bool(moved)


def _is_ours(old: str, new: str) -> bool:
    """True for `file:///anywhere/mlartifacts/NAME`."""
    return old.startswith("file:") and old.split("/")[-2:] == new.split("/")[-2:]
