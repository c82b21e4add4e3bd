"""The experiments of a workspace's own MLflow, read from its file: an import of MLflow takes
seconds."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass

from settings.runtime import Runtime

LIST = """
SELECT e.experiment_id, e.name, t.value FROM experiments e
JOIN experiment_tags t ON t.experiment_id = e.experiment_id AND t.key = 'mlflow.note.content'
WHERE e.lifecycle_stage = 'active'
ORDER BY e.last_update_time, e.experiment_id
"""


@dataclass(frozen=True)
class Listed:
    experiment_id: str
    name: str
    result: str
    """The first words of its page, such as `random 0.725 [0.664, 0.780] is highest of 3`."""


def experiments_of(runtime: Runtime) -> list[Listed]:
    """Those that have a result, the last changed at the end; none where the file cannot be read."""
    path = runtime.workspace / "mlflow.db"
    if runtime.tracking is not None or not path.is_file():
        return []
    place = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(place, timeout=1.0, uri=True)) as database:
            rows = database.execute(LIST).fetchall()
    except sqlite3.Error:  # the pages stand without a list
        return []
    return [Listed(str(one), name, note.partition(": [")[0]) for one, name, note in rows]
