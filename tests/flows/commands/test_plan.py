"""What a plan says on a terminal."""

from __future__ import annotations

from pathlib import Path

from flows.commands.plan import BLOCKED, _grouped
from flows.forecast import pace_of
from flows.workspace import open_file
from settings.loading import find_experiment
from settings.runtime import Runtime
from tasks.plan import Plan


def test_tables_that_wait_for_others_take_a_line_for_each_stage(tmp_path: Path) -> None:
    """A fresh study had three screens of them."""
    opened = open_file(find_experiment("smoke"), Runtime(workspace=tmp_path), read_only=True)
    plan = Plan(opened.store, peek=True)
    rows = [row.cells for row in _grouped(opened, plan, pace_of(opened, plan), False)]
    blocked = [row for row in rows if BLOCKED in row]
    assert len({row[0] for row in blocked}) == len(blocked)
    assert rows[-len(blocked) :] == blocked
    states = [plan.state(table) for table in opened.study.tables()]
    waiting = sum(bool(s.places) and bool(s.committed) and not s.missing for s in states)
    counts = sum(
        int(cell.split()[0]) for row in blocked for cell in map(str, row) if "table" in cell
    )
    assert counts == waiting > len(blocked)
