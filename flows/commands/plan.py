"""`rdpt plan`: what a run would build, and what its sources are read as; writes nothing."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from flows import accounts
from flows.checks import check_inputs
from flows.commands.documents import print_json
from flows.configurations import Configuration, TableUse
from flows.disk import BYTES, estimated_room, knows_imports
from flows.forecast import pace_of, sum_of
from flows.results.tables import print_fitted, print_table
from flows.runtime import read_runtime
from flows.titles import used_by, users_of
from flows.workspace import Opened, open_file
from rdpt_core.machine.processor import cpu_flags, has_gpu
from rdpt_core.machine.resources import amount, free_space
from rdpt_core.report.tables import Row, TableColumn
from rdpt_core.report.terminal import terminal_width
from rdpt_core.report.words import counted
from rdpt_core.scoring.paths import faster_path
from settings.loading import find_experiment
from tasks.pace import Pace
from tasks.plan import Plan, TableState
from tasks.progress import say
from tasks.stage import StageTable, Table

BLOCKED = "blocked"
UNKNOWN = "unknown"
"""Parts of a table whose source was not read."""


def plan(file: str, lists_cached: bool, as_json: bool) -> int:
    opened = open_file(find_experiment(file), read_runtime(), read_only=True)
    check_inputs(opened)
    if as_json:
        print_json(document(opened))
    else:
        print_plan(opened, lists_cached)
    return 0


def document(opened: Opened) -> dict[str, Any]:
    """The tables of every configuration; `estimate` is for people, and may change its words."""
    plan = Plan(opened.store, peek=True)
    certain, most = estimated_room(opened, plan)
    return {
        "experiment": opened.experiment.name,
        "tables": [_table_document(*found) for found in _planned(opened, plan)],
        "sources": list(accounts.plan_lines(opened)),
        "bytes_to_build": {"certain": certain, "most": most},
        "bytes_free": free_space(opened.runtime.workspace),
    }


def _table_document(
    configuration: Configuration, use: TableUse, state: TableState
) -> dict[str, Any]:
    is_known = any(state.places.values()) or not state.places
    return {
        "configuration": configuration.name,
        "side": use.side,
        "table": use.table.name,
        "role": use.role,
        "state": _state(state),
        "parts_done": len(state.parts) if state.committed else 0,
        "parts": len(state.places) if is_known else None,
        "rows_in": sum(wanted.size for wanted in state.missing),
        "estimate": _estimate(use.table, state) or None,
    }


def _planned(opened: Opened, plan: Plan) -> Iterator[tuple[Configuration, TableUse, TableState]]:
    """Sources without a part in the store are left out."""
    for configuration in opened.study.configurations():
        for use in configuration.uses:
            state = plan.state(use.table)
            if state.places or isinstance(use.table, StageTable):
                yield configuration, use, state


def print_plan(opened: Opened, lists_cached: bool = False) -> None:
    """Its sum; the tables, and what the sources are read as."""
    plan = Plan(opened.store, peek=True)
    pace = pace_of(opened, plan)
    if terminal_width() is None:
        say(sum_of(opened, plan, pace))
        headings = ("configuration", "side", "table", "role", "state", "parts", "estimate")
        print_table([headings, *_lines(opened, plan)])
    else:
        sys.stdout.write(f"{sum_of(opened, plan, pace)}\n")
        if rows := list(_grouped(opened, plan, pace, lists_cached)):
            print_fitted(_COLUMNS, rows)
    sys.stdout.writelines(f"{line}\n" for line in accounts.plan_lines(opened))
    _say_room(opened, plan)
    _say_path(opened)


def _lines(opened: Opened, plan: Plan) -> Iterator[tuple[str, ...]]:
    """A line for every table of every configuration."""
    for configuration, use, state in _planned(opened, plan):
        yield (
            configuration.name,
            use.side,
            use.table.name,
            use.role or "",
            _state(state),
            _parts(state),
            _estimate(use.table, state),
        )


_COLUMNS = (
    TableColumn("table"),
    TableColumn("state", rank=1),
    TableColumn("parts", rank=2),
    TableColumn("work", rank=1),
    TableColumn("time"),
)


def _grouped(opened: Opened, plan: Plan, pace: Pace, lists_cached: bool) -> Iterator[Row]:
    """For a terminal: every table once, below those that use it and their side; those that wait for
    others by stage."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    waiting: Counter[str] = Counter()
    users = users_of(opened.study.configurations())
    for table in opened.study.tables():
        state = plan.state(table)
        if state.places and _state(state) == BLOCKED:
            waiting[table.name] += 1
        elif state.places and (lists_cached or not state.complete):
            whose, role, side = used_by(table, users.get(table.digest, []))
            name = f"  {table.name} {role}".rstrip()
            groups[whose, side].append(Row((name, *_cells(table, state, pace))))
    alike: dict[tuple[str, tuple[Row, ...]], list[str]] = defaultdict(list)
    for (whose, side), rows in groups.items():
        alike[side, tuple(rows)].append(whose)
    for (side, tables), names in alike.items():
        yield Row((f"{_shown(names)}, {side}",), "bold")
        yield from tables
    if waiting:
        yield Row(("waiting for tables above",), "bold")
    for stage, num in waiting.items():
        yield Row((f"  {stage}", BLOCKED, "", counted(range(num), "table"), ""))


def _cells(table: Table, state: TableState, pace: Pace) -> tuple[str, ...]:
    time = ""
    if isinstance(table, StageTable) and not state.complete:
        time = pace.of(table).time
    parts = _parts(state)
    return (_state(state), "" if parts == UNKNOWN else parts, _estimate(table, state), time)


def _shown(names: Sequence[str]) -> str:
    """The first of the configurations that lack the same tables."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more, each"


def _say_room(opened: Opened, plan: Plan) -> None:
    """Prints the free disk space that `rdpt run` checks first."""
    free, place = free_space(opened.runtime.workspace), opened.runtime.workspace
    aside = "" if knows_imports(opened) else ", without imported traces that were not read yet"
    certain, most = estimated_room(opened, plan)
    needed = amount(certain)
    if most > certain:
        needed += f" at least, {amount(most)} if every trace reaches max_new_tokens"
    say(f"disk to build: {needed}{aside}; {amount(free)} free in {place}")


def _say_path(opened: Opened) -> None:
    """Prints the scoring path, and the fastest one here; changing it rebuilds all scores."""
    experiment = opened.experiment
    gpu = has_gpu(opened.runtime.device)
    for dtype in sorted({model.dtype for model in (*experiment.teachers, *experiment.students)}):
        faster, reason = faster_path(dtype, gpu, cpu_flags())
        path = experiment.scoring.path
        say(f"scoring.path = {path}; fastest here for {dtype}: {faster} ({reason})")


def _state(state: TableState) -> str:
    if state.complete:
        return "cached"
    return "to build" if state.missing or not state.committed else BLOCKED


def _parts(state: TableState) -> str:
    done = len(state.parts) if state.committed else 0
    is_known = any(state.places.values()) or not state.places
    return f"{done} of {len(state.places)}" if is_known else UNKNOWN


def _estimate(table: Table, state: TableState) -> str:
    """Traces, and at most so many tokens, of what is left to build."""
    traces = sum(wanted.size for wanted in state.missing)
    if not isinstance(table, StageTable):
        return f"{sum(part.num_rows for part in state.parts)} rows"
    if not traces:
        return ""
    sampling = table.parameters.get("sampling")
    if table.name == "traces" and sampling is not None:
        tokens = traces * sampling.max_new_tokens
        return f"{traces} traces, <= {tokens:,} tokens"
    size = sum(part.size for wanted in state.missing for part in wanted.inputs.get("traces", ()))
    if table.name == "scores" and size:
        return f"{traces} traces, ~{round(size / BYTES['traces']):,} tokens"
    return f"{traces} rows in"
