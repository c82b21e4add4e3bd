"""`rdpt status`: progress of active runs, from their files in `running/` and from the store.

Nothing here waits for a run, nor can a run ever wait for it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from flows.commands.documents import print_json
from flows.forecast import pace_of
from flows.runtime import read_runtime
from flows.workspace import NO_RUNS, Opened, brief, each_frozen, frozen_names, open_asked
from rdpt_core.report.tables import Row, TableColumn, fitted
from rdpt_core.report.terminal import terminal_width
from rdpt_core.report.words import broken
from rdpt_core.text.printable import printable
from settings.loading import BadSettings
from tasks.plan import Plan
from tasks.running import Activity, activities

SILENT_SECONDS = 60.0
"""A worker that said nothing for this long is in a long step, or stuck."""


def status(file: str, as_json: bool = False) -> int:
    runtime = read_runtime()
    if not file and not frozen_names(runtime):
        raise BadSettings(str(runtime.workspace), [NO_RUNS])
    found = activities(runtime.workspace)
    running = [activity for activity, lives, _ in found if lives]
    dead = [activity for activity, lives, _ in found if not lives]

    documents: list[dict[str, Any]] = []

    def show(opened: Opened) -> None:
        if as_json:
            documents.append(_document(opened, _of(opened, running), _of(opened, dead)))
            return
        width = terminal_width()
        for line in _lines(opened, _of(opened, running), _of(opened, dead)):
            shown = printable(line)
            sys.stdout.write((shown if width is None else broken(shown, width)) + "\n")

    failed: dict[str, Exception] = {}
    if file:
        show(open_asked(file, runtime))
    else:
        failed = each_frozen(runtime, show, read_only=True)
    if as_json:
        faults = {name: brief(error) for name, error in failed.items()}
        print_json({"experiments": documents, "cannot_be_opened": faults})
        return 0
    for name, error in failed.items():
        sys.stdout.write(printable(f"{name}: cannot be opened: {brief(error)}") + "\n")
    return 0


def _document(
    opened: Opened, running: Sequence[Activity], dead: Sequence[Activity]
) -> dict[str, Any]:
    """An activity without a title is a run, which has workers."""
    plan = Plan(opened.store)
    states = [plan.state(table) for table in opened.study.tables()]
    return {
        "name": opened.experiment.name,
        "running": any(not activity.title for activity in running),
        "tables_done": sum(state.complete for state in states),
        "tables": len(states),
        "parts_done": sum(len(state.parts) for state in states),
        "parts": sum(len(state.places) for state in states),
        "parts_are_all_known": not any(state.is_blocked for state in states),
        "workers": [_worker(activity) for activity in running if activity.title],
        "killed": [_worker(activity) for activity in dead],
    }


def _worker(activity: Activity) -> dict[str, Any]:
    return {
        "table": activity.title or None,
        "unit": activity.unit or None,
        "items_done": activity.items_done,
        "items": activity.items,
        "units": activity.units,
        "seconds": activity.seconds,
        "waits_for": activity.waits_for or None,
        "since": activity.since,
        "beat": activity.beat,
        "pid": activity.pid,
        "host": activity.host,
    }


def _of(opened: Opened, found: Iterable[Activity]) -> list[Activity]:
    return [activity for activity in found if activity.experiment == opened.experiment.name]


def _lines(opened: Opened, running: Sequence[Activity], dead: Sequence[Activity]) -> Iterator[str]:
    plan = Plan(opened.store)
    runs = [activity for activity in running if not activity.title]
    workers = [activity for activity in running if activity.title]
    left = f", {pace_of(opened, plan).left(_in_parts(workers))}" if runs else ""
    yield f"{opened.experiment.name}: {_how(runs, workers)}; {_how_far(opened, plan)}{left}"
    if workers:
        rows = [Row(_cells(worker, opened, plan)) for worker in workers]
        room = None if (width := terminal_width()) is None else width - 2
        yield from (f"  {line}" for line in fitted(_COLUMNS, rows, room).plain.splitlines())
    for worker in workers:
        if worker.waits_for:
            yield f"  {worker.title} waits for part {worker.waits_for}"
    yield from _died(opened, runs, dead)


def _how(runs: Sequence[Activity], workers: Sequence[Activity]) -> str:
    if not runs:
        return "not running"
    who = ", ".join(f"process {run.pid} on {run.host} since {_clock(run.since)}" for run in runs)
    return f"running, {len(workers)} worker{'' if len(workers) == 1 else 's'} ({who})"


def _how_far(opened: Opened, plan: Plan) -> str:
    states = [plan.state(table) for table in opened.study.tables()]
    complete = sum(state.complete for state in states)
    parts = sum(len(state.parts) for state in states)
    all_parts = sum(len(state.places) for state in states)
    # A table whose source or model is not there yet does not know how many parts it will have.
    at_least = "" if not any(state.is_blocked for state in states) else "at least "
    return f"{complete} of {len(states)} tables, {parts} of {at_least}{all_parts} parts"


_COLUMNS = (
    TableColumn("table"),
    TableColumn("parts", rank=2),
    TableColumn("done"),
    TableColumn("rate"),
    TableColumn("left"),
    TableColumn("worker", rank=1),
)


def _in_parts(workers: Sequence[Activity]) -> dict[str, float]:
    """Steps, or items of parts that are not committed yet, by the digest of their table."""
    return {
        worker.table: float(worker.units)
        if worker.unit == "steps"
        else float(max(worker.items_done - worker.items_committed, 0))
        for worker in workers
    }


def _cells(worker: Activity, opened: Opened, plan: Plan) -> tuple[str, ...]:
    tables = {table.digest: table for table in opened.study.tables()}
    state = plan.state(tables[worker.table]) if worker.table in tables else None
    parts = f"{len(state.parts)} of {len(state.places)}" if state else "-"
    silent = time.time() - worker.beat
    word = f", silent for {_span(silent)}" if silent > SILENT_SECONDS else ""
    return (
        worker.title,
        parts,
        _done(worker),
        _rate(worker),
        _left(worker),
        f"{worker.pid} on {worker.host}{word}",
    )


def _done(worker: Activity) -> str:
    if worker.units_expected:
        return f"{worker.units:,} of {worker.units_expected:,} {worker.unit}"
    return f"{worker.items_done} of {worker.items}"


def _rate(worker: Activity) -> str:
    if worker.units < 2 or worker.seconds < 1:
        return "-"
    rate = worker.units / worker.seconds
    return f"{rate:,.{0 if rate >= 10 else 1}f} {worker.unit}/s"


def _left(worker: Activity) -> str:
    """Remaining time by the rows or steps that are done; unknown before the first."""
    by_units = worker.units_expected > 0
    done = worker.units if by_units else worker.items_done
    if not done:
        return "-"
    seconds = worker.seconds + time.time() - worker.beat
    total = worker.units_expected if by_units else worker.items
    return _span(max(seconds * total / done - seconds, 0.0))


def _died(opened: Opened, runs: Sequence[Activity], dead: Sequence[Activity]) -> Iterator[str]:
    name = opened.experiment.name
    for activity in dead:
        what = f" while building {activity.title}" if activity.title else ""
        if activity.title or not any(d.pid == activity.pid and d.title for d in dead):
            who = f"process {activity.pid} on {activity.host}"
            hint = "" if runs else f"; resume with: rdpt resume {name}"
            yield f"  {who} was killed{what}, last seen at {_clock(activity.beat)}{hint}"


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
