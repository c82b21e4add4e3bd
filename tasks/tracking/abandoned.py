"""Runs of MLflow that a killed process left as if they were still going on."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing, suppress

from settings.runtime import Runtime
from tasks.running import activities

END = """
UPDATE runs SET status = 'KILLED', end_time = ?
WHERE status = 'RUNNING'
  AND run_uuid IN (SELECT run_uuid FROM tags WHERE key = 'rdpt.configuration')
  AND experiment_id NOT IN (
    SELECT experiment_id FROM experiments WHERE name IN (SELECT value FROM json_each(?))
  )
"""


def end_abandoned(runtime: Runtime) -> None:
    """Marks them as killed in the workspace's own MLflow database. One that is elsewhere may serve
    runs of other machines, and is not changed."""
    path = runtime.workspace / "mlflow.db"
    if runtime.tracking is not None or not path.is_file():
        return
    alive = {one.experiment for one, lives, _ in activities(runtime.workspace) if lives}
    values = [int(time.time() * 1000), json.dumps(sorted(alive))]
    # If MLflow cannot open the database, it reports that itself later.
    with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=1.0)) as database:
        database.execute(END, values)
        database.commit()
