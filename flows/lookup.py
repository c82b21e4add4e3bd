"""Finding a trace of an experiment, and the rows about it, by SQL over the files of parts.

The catalogue could tell the same, but a run publishes it only now and then; parts are there as soon
as they are committed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import duckdb

from flows.configurations import Configuration
from flows.workspace import Opened
from rdpt_core.store.catalog import literal
from rdpt_core.store.parts import Store
from rdpt_core.store.record import Part
from settings.loading import BadSettings
from tasks.plan import Plan

R = TypeVar("R")

MOST_LISTED = 5


@dataclass(frozen=True)
class Place:
    """A configuration has the trace in a part of one of its sides."""

    configuration: Configuration
    side: str
    traces: Part
    labels: Part | None
    """That holds the trace's provenance; None where this configuration labels no sentence."""


def full_id(opened: Opened, plan: Plan, chosen: Sequence[Configuration], prefix: str) -> str:
    """The id of the only trace that begins with `prefix`. Raises BadSettings for none or more."""
    parts = {part.key: part for c in chosen for side in c.sides for part in parts_of(plan, c, side)}
    found = _beginning_with(opened.store, list(parts.values()), prefix) if prefix else []
    where = f"{opened.experiment.name} of {opened.runtime.workspace}"
    if not found:
        num_traces = sum(part.num_rows for part in parts.values())
        listed = f"its {num_traces} traces are listed by `rdpt export FILE traces -o -`"
        raise BadSettings(where, [f"no trace begins with {prefix!r}; {listed}"])
    if len(found) > 1:
        shown = [*found[:MOST_LISTED], *(["..."] if len(found) > MOST_LISTED else [])]
        raise BadSettings(
            where, [f"{len(found)} traces begin with {prefix!r}: give more of one:", *shown]
        )
    return found[0]


def places(plan: Plan, chosen: Sequence[Configuration], trace_id: str) -> Iterator[Place]:
    for configuration in chosen:
        for side in configuration.sides:
            parts = parts_of(plan, configuration, side)
            if held := holder(plan.store, parts, trace_id):
                labels = parts_of(plan, configuration, side, "provenance")
                yield Place(configuration, side, held, holder(plan.store, labels, trace_id))


def parts_of(
    plan: Plan, configuration: Configuration, side: str, table: str = "traces"
) -> tuple[Part, ...]:
    """The parts of a table that exist; none where the configuration has no such table."""
    wanted = configuration.find(table, side)
    return plan.state(wanted).parts if wanted else ()


def rows_of_side(
    plan: Plan, place: Place, row: type[R], value: str, key: str = "trace_id"
) -> list[R]:
    """Rows of the same side that have this id."""
    table: str = row.TABLE  # type: ignore[attr-defined]
    parts = parts_of(plan, place.configuration, place.side, table)
    held = holder(plan.store, parts, value, key)
    return [one for one in plan.store.rows(row, held) if getattr(one, key) == value] if held else []


def holder(store: Store, parts: Sequence[Part], value: str, key: str = "trace_id") -> Part | None:
    """The part that has rows of the trace, or of what else has such an id."""
    sql = f"SELECT DISTINCT parse_filename(filename, true) FROM {{files}} WHERE {key} = ?"
    found = asked(store, parts, sql, [value])
    return next((part for part in parts if found and part.key == found[0][0]), None)


def asked(
    store: Store, parts: Sequence[Part], sql: str, values: Sequence[Any] = ()
) -> list[tuple[Any, ...]]:
    """The answer to a query over the files of parts, which are its `{files}`; nothing without
    parts."""
    if not parts:
        return []
    listed = ", ".join(literal(str(store.file(part).resolve())) for part in parts)
    files = f"read_parquet([{listed}], filename = true)"
    with duckdb.connect() as connection:
        return connection.execute(sql.format(files=files), list(values)).fetchall()


def _beginning_with(store: Store, parts: Sequence[Part], prefix: str) -> list[str]:
    sql = "SELECT DISTINCT trace_id FROM {files} WHERE starts_with(trace_id, ?) ORDER BY trace_id"
    return [name for (name,) in asked(store, parts, sql, [prefix])]
