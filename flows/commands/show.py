"""`rdpt show`: one trace in the terminal, each sentence with where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import duckdb
from pydantic import Field
from pydantic_settings import CliPositionalArg
from rich.text import Text

from flows.commands.verb import EXPERIMENT_HELP, Verb
from flows.configurations import Configuration
from flows.runtime import read_runtime
from flows.workspace import Opened, named, open_asked
from rdpt_core.report.terminal import Terminal, terminal_width
from rdpt_core.report.traces import NEAR, Shown, legend, text_lines, trace_lines
from rdpt_core.store.catalog import literal
from rdpt_core.store.parts import Store
from rdpt_core.store.record import Part
from rdpt_core.tables.rows import Grade, Problem, Provenance, Sentence, Trace
from settings.loading import BadSettings
from tasks.plan import Plan

R = TypeVar("R")

MOST_LISTED = 5
INDENT = 9


@dataclass(frozen=True)
class Place:
    """A configuration has the trace in a part of one of its sides."""

    configuration: Configuration
    side: str
    traces: Part
    labels: Part | None
    """That holds the trace's provenance; None where this configuration labels no sentence."""


class Show(Verb):
    """Show a trace, each sentence with its label and its probabilities.

    rdpt show 3f2a                   a trace of the last run, by its id
    rdpt show 3f2a pocket --configuration random
    NO_COLOR=1 rdpt show 3f2a        labels as letters only
    """

    trace_id: CliPositionalArg[str] = Field(description="id of a trace, or its first characters")
    file: CliPositionalArg[str] = Field(
        default="", description=f"{EXPERIMENT_HELP} (default: the last run)"
    )
    configuration: str = Field(
        default="", description="configuration whose labels are shown, if several differ"
    )

    def act(self) -> int:
        return show(self.trace_id, self.file, self.configuration)


def show(trace_id: str, file: str, configuration: str) -> int:
    """Raises BadSettings where no single trace, or no single labelling of it, is meant."""
    opened = open_asked(file, read_runtime())
    plan = Plan(opened.store)
    everyone = opened.study.configurations()
    chosen = [named(opened, configuration)] if configuration else everyone
    name = _the_one(opened, plan, chosen, trace_id)
    place = _place(_places(plan, chosen, name), name)
    terminal = Terminal()
    for line in _lines(plan, place, name, _near(opened, place)):
        terminal.print(line)
    return 0


# ---------------------------------------------------------------------------- which one


def _the_one(
    opened: Opened, plan: Plan, configurations: Sequence[Configuration], prefix: str
) -> str:
    """The whole id of the trace that begins with `prefix`."""
    parts = {
        part.key: part
        for c in configurations
        for side in c.sides
        for part in _parts(plan, c, "traces", side)
    }
    found = _beginning_with(opened.store, list(parts.values()), prefix) if prefix else []
    where = f"{opened.experiment.name} of {opened.runtime.workspace}"
    if not found:
        raise BadSettings(
            where,
            [
                f"no trace begins with {prefix!r}; its "
                f"{sum(p.num_rows for p in parts.values())} traces are listed by "
                "`rdpt export FILE traces -o -`"
            ],
        )
    if len(found) > 1:
        shown = [*found[:MOST_LISTED], *(["..."] if len(found) > MOST_LISTED else [])]
        raise BadSettings(
            where, [f"{len(found)} traces begin with {prefix!r}: give more of one:", *shown]
        )
    return found[0]


def _beginning_with(store: Store, parts: Sequence[Part], prefix: str) -> list[str]:
    if not parts:
        return []
    sql = f"SELECT DISTINCT trace_id FROM {_files(store, parts)} WHERE starts_with(trace_id, ?) "
    with duckdb.connect() as connection:
        found = connection.execute(sql + "ORDER BY trace_id", [prefix]).fetchall()
    return [name for (name,) in found]


def _files(store: Store, parts: Sequence[Part]) -> str:
    listed = ", ".join(literal(str(store.file(part).resolve())) for part in parts)
    return f"read_parquet([{listed}], filename = true)"


def _holder(store: Store, parts: Sequence[Part], value: str, key: str = "trace_id") -> Part | None:
    """The part that has rows of the trace, or of what else has such an id."""
    if not parts:
        return None
    sql = (
        f"SELECT DISTINCT parse_filename(filename, true) FROM {_files(store, parts)} "
        f"WHERE {key} = ?"
    )
    with duckdb.connect() as connection:
        found = connection.execute(sql, [value]).fetchall()
    return next((part for part in parts if found and part.key == found[0][0]), None)


def _parts(plan: Plan, configuration: Configuration, table: str, side: str) -> tuple[Part, ...]:
    wanted = configuration.find(table, side)
    return plan.state(wanted).parts if wanted else ()


def _places(plan: Plan, configurations: Sequence[Configuration], trace_id: str) -> Iterator[Place]:
    for configuration in configurations:
        for side in configuration.sides:
            parts = _parts(plan, configuration, "traces", side)
            held = _holder(plan.store, parts, trace_id)
            if held:
                labels = _parts(plan, configuration, "provenance", side)
                yield Place(configuration, side, held, _holder(plan.store, labels, trace_id))


def _place(places: Iterator[Place], trace_id: str) -> Place:
    """The only labelling, under the first configuration that has it; any place without one."""
    found = list(places)
    labelled = {place.labels.key: place for place in reversed(found) if place.labels}
    if len(labelled) > 1:
        names = [place.configuration.name for place in found if place.labels]
        raise BadSettings(
            "show",
            [
                f"{len(labelled)} configurations label {trace_id} differently: choose one with "
                f"--configuration; configurations: {', '.join(names)}"
            ],
        )
    return next(iter(labelled.values()), found[0])


# ---------------------------------------------------------------------------- what is shown


def _near(opened: Opened, place: Place) -> float:
    """Margins below it are marked: those that the catalogue calls undetermined, where the noise of
    the scorers was measured."""
    if place.labels is None or not opened.runtime.catalog.exists():
        return NEAR
    sql = "SELECT 2 * p99_p FROM main.label_noise WHERE part = ?"
    try:
        with duckdb.connect(str(opened.runtime.catalog), read_only=True) as connection:
            found = connection.execute(sql, [place.labels.key]).fetchone()
    except duckdb.Error:  # of another release, or being replaced: the trace is shown all the same
        return NEAR
    return NEAR if found is None or found[0] is None else float(found[0])


def _lines(plan: Plan, place: Place, trace_id: str, near: float) -> Iterator[Text | str]:
    (trace,) = [t for t in plan.store.rows(Trace, place.traces) if t.trace_id == trace_id]
    yield from _head(plan, place, trace)
    shown = list(_sentences(plan, place, trace))
    width = terminal_width()
    if shown:
        yield from trace_lines(shown, width, near)
    else:
        yield from text_lines(trace.text, width)
    yield ""
    yield legend(near) if place.labels else "no configuration labels its sentences"


def _head(plan: Plan, place: Place, trace: Trace) -> Iterator[str]:
    grades = _rows(plan, place, Grade, trace.trace_id)
    problems = _rows(plan, place, Problem, trace.problem_id, "problem_id")
    outcome = f"{grades[0].outcome}, " if grades else ""
    yield f"trace    {trace.trace_id}"
    yield f"of       {place.configuration.name}, {place.side}"
    yield f"ended    {outcome}finish reason {trace.finish_reason}"
    for problem in problems:
        yield f"problem  {problem.problem_id}"
        width = terminal_width()
        prompt = text_lines(problem.prompt, None if width is None else width - INDENT)
        yield from (f"{'':{INDENT}}{line}" for line in prompt)
    yield ""


def _sentences(plan: Plan, place: Place, trace: Trace) -> Iterator[Shown]:
    raw = trace.text.encode()
    cut = _rows(plan, place, Sentence, trace.trace_id)
    rows = plan.store.rows(Provenance, place.labels) if place.labels else []
    labels = {row.position: row for row in rows if row.trace_id == trace.trace_id}
    for one in cut:
        text = raw[one.start : one.stop].decode(errors="replace")
        yield Shown(one, text, labels.get(one.position))


def _rows(plan: Plan, place: Place, row: type[R], value: str, key: str = "trace_id") -> list[R]:
    """Rows of the same side that have this id."""
    table: str = row.TABLE  # type: ignore[attr-defined]
    held = _holder(plan.store, _parts(plan, place.configuration, table, place.side), value, key)
    return [one for one in plan.store.rows(row, held) if getattr(one, key) == value] if held else []
