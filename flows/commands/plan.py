"""`rdpt plan`: what a run would build, and what its sources are read as; writes nothing."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator

from pydantic import Field
from pydantic_settings import CliPositionalArg

from flows import accounts
from flows.checks import check_inputs
from flows.commands.verb import FILE_HELP, Verb
from flows.configurations import TableUse
from flows.disk import BYTES, estimated_room, knows_imports
from flows.results.tables import print_table
from flows.runtime import read_runtime
from flows.workspace import Opened, open_file
from rdpt_core.machine.processor import cpu_flags, has_gpu
from rdpt_core.machine.resources import amount, free_space
from rdpt_core.report.terminal import terminal_width
from rdpt_core.scoring.paths import faster_path
from settings.loading import find_experiment
from tasks.plan import Plan, TableState
from tasks.progress import say
from tasks.stage import StageTable

STATES = {"cached": "green", "to build": "yellow", "blocked": "red"}
"""Colours of a table's state, where there are colours."""


class ShowPlan(Verb):
    """Show what a run would build, without writing anything.

    rdpt plan pocket                           tables of each configuration
    rdpt plan my-study.toml | grep build       only what is missing
    """

    file: CliPositionalArg[str] = Field(description=FILE_HELP)

    def act(self) -> int:
        opened = open_file(find_experiment(self.file), read_runtime(), read_only=True)
        check_inputs(opened)
        print_plan(opened)
        return 0


def print_plan(opened: Opened) -> None:
    """One line for every table of every configuration; then what the sources are read as."""
    plan = Plan(opened.store, peek=True)
    lines = [
        (
            configuration.name,
            use.side,
            use.table.name,
            use.role or "",
            _state(state),
            _parts(state),
            _estimate(use, state),
        )
        for configuration in opened.study.configurations()
        for use in configuration.uses
        if (state := plan.state(use.table)).places or isinstance(use.table, StageTable)
    ]
    if terminal_width() is None:
        headings = ("configuration", "side", "table", "role", "state", "parts", "estimate")
        print_table([headings, *lines], styles=STATES)
    else:
        print_table(_grouped(lines), styles=STATES)
    sys.stdout.writelines(f"{line}\n" for line in accounts.plan_lines(opened))
    _say_room(opened, plan)
    _say_path(opened)


def _grouped(lines: Iterable[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """For a terminal: the tables of each side of a configuration below its name."""
    groups: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for configuration, side, table, role, *others in lines:
        groups[f"{configuration}, {side}"].append((f"  {table} {role}".rstrip(), *others))
    yield ("table", "state", "parts", "estimate")
    for name, tables in groups.items():
        yield from ((name, "", "", ""), *tables)


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
    return "to build" if state.missing or not state.committed else "blocked"


def _parts(state: TableState) -> str:
    done = len(state.parts) if state.committed else 0
    is_known = any(state.places.values()) or not state.places
    return f"{done} of {len(state.places)}" if is_known else "unknown"


def _estimate(use: TableUse, state: TableState) -> str:
    """Traces, and at most so many tokens, of what is left to build."""
    traces = sum(wanted.size for wanted in state.missing)
    if not isinstance(use.table, StageTable):
        return f"{sum(part.num_rows for part in state.parts)} rows"
    if not traces:
        return ""
    sampling = use.table.parameters.get("sampling")
    if use.table.name == "traces" and sampling is not None:
        tokens = traces * sampling.max_new_tokens
        return f"{traces} traces, <= {tokens:,} tokens"
    size = sum(part.size for wanted in state.missing for part in wanted.inputs.get("traces", ()))
    if use.table.name == "scores" and size:
        return f"{traces} traces, ~{round(size / BYTES['traces']):,} tokens"
    return f"{traces} rows in"
