"""`rdpt status`: progress of active runs."""

from __future__ import annotations

import json

import pytest

from tasks.running import Activity, announced, beating
from tests.flows.example_experiments import Studio
from tests.flows.recorded_requests import output_of
from tests.stages.toy_stages import Journal

Capture = pytest.CaptureFixture[str]


def test_status_says_how_far_an_experiment_is_that_nobody_runs(
    here: Studio, capsys: Capture
) -> None:
    said = output_of(capsys, "status")
    tables = len(here.open().study.tables())
    assert said.startswith(f"study: not running; {tables} of {tables} tables")
    assert "at least" in output_of(capsys, "status", here.write_changed(segmenter="lines"))


def test_status_shows_the_table_in_the_making_with_rate_and_time_left(
    here: Studio, capsys: Capture
) -> None:
    workspace, table = here.folder / "workspace", here.open().study.tables()[1]
    activity = Activity("study", "traces train [all]", table.digest, "tokens")
    with announced(workspace, "study"), beating(Journal(), workspace, activity) as watcher:
        watcher.started(table, 40)
        activity.items_done = 10
        activity.seconds = 20.0  # as if it had been begun then
        activity.units = 300
        (file,) = [p for p in (workspace / "running").glob("*.json") if "traces" in p.read_text()]
        told = json.loads(file.read_text()) | {"items_done": 10, "seconds": 20.0, "units": 300}
        file.write_text(json.dumps(told))
        said = output_of(capsys, "status")
    assert "study: running, 1 worker (process " in said
    assert "10 of 40  15 tokens/s  1 min " in said
