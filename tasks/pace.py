"""How long the tables that are left will take, by the seconds that parts have taken.

A record holds the seconds of its part, so a workspace that has built tables of a kind before knows
their rate, and parts of this run count more than all before. Before there is either, no time is
known: nothing here guesses. A kind is a table with the model that makes it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from rdpt_core.store.parts import Store
from rdpt_core.store.record import Coordinate, Part, Record
from tasks.plan import MissingPart, Plan
from tasks.stage import StageTable, Table

COUNTED = ("traces", "grades", "scores", "pool", "students")
"""Tables whose seconds grow with their rows, one for each item. A part of another counts as one."""
SLOW = ("traces", "scores", "students")
"""Tables that take nearly all of the time: where the rate of one is unknown, so is the time."""
NUM_RECORDS = 40
"""The newest of a table, of which earlier parts' rates are taken."""
SETTLED_SECONDS = 10.0
"""After so long, how many parts are built at a time is measured."""

Kind: TypeAlias = tuple[str, str]
"""A table, and digest of the weights of the model that makes it; empty where there is none."""


class Left(NamedTuple):
    """Time until the end."""

    seconds: float
    is_all: bool
    """False where the rate of some slow tables is not known yet."""

    @property
    def time(self) -> str:
        """`~3 min`; empty before anything is known."""
        if self.is_all:
            return f"~{span(self.seconds)}" if self.seconds >= 1 else "< 1 s"
        return f"> {span(self.seconds)}" if self.seconds >= 1 else ""

    def __str__(self) -> str:
        """`~3 min left`; "~" alone before anything is known."""
        return f"{self.time} left" if self.time else "~"


@dataclass
class Rate:
    seconds: float = 0.0
    items: float = 0.0

    def add(self, seconds: float, items: float) -> None:
        self.seconds += seconds
        self.items += items

    @property
    def per_item(self) -> float | None:
        return self.seconds / self.items if self.items else None


class Pace:
    """The rates of one run, and what they say of its tables. Threads may share it."""

    def __init__(self, plan: Plan, tables: Iterable[Table], workers: int) -> None:
        self._plan, self._workers = plan, workers
        self._tables = [table for table in tables if isinstance(table, StageTable)]
        self._before = dict(_earlier(plan.store, {table.name for table in self._tables}))
        self._now: dict[Kind, Rate] = {}
        self._kinds = {table.digest: _kind(table) for table in self._tables}
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self._worked = 0.0
        """Seconds of the parts that were built since."""

    def built(self, table: Table, part: Part) -> None:
        """Takes note of a part that this run has built."""
        if table.digest in self._kinds:
            with self._lock:
                rate = self._now.setdefault(self._kinds[table.digest], Rate())
                rate.add(part.seconds, _items(part))
                self._worked += part.seconds

    def left(self, done: dict[str, float] | None = None) -> Left:
        """Until all tables are built; `done` is what of a table in the making is counted already,
        by the table's digest."""
        total, is_all = 0.0, True
        for table in self._tables:
            items = self._left_to_build(table) - (done or {}).get(table.digest, 0.0)
            if items <= 0:
                continue
            rate = self._rate(table)
            if rate is not None:
                total += rate * items
            is_all = is_all and (rate is not None or table.name not in SLOW)
        return Left(total / self._at_a_time(), is_all)

    def of(self, table: StageTable) -> Left:
        """A table that is built alone."""
        rate = self._rate(table)
        return Left((rate or 0.0) * self._left_to_build(table), rate is not None)

    def _at_a_time(self) -> float:
        """Parts that are built at once, on average: tables wait for each other and for models."""
        elapsed = time.monotonic() - self._begun
        if elapsed < SETTLED_SECONDS or self._worked < SETTLED_SECONDS:
            return float(self._workers)
        return min(max(self._worked / elapsed, 1.0), float(self._workers))

    def _rate(self, table: StageTable) -> float | None:
        """Seconds of an item: of this run, else of earlier ones; of the same model, else of any."""
        kind = self._kinds[table.digest]
        with self._lock:
            for rates in (self._now, self._before):
                for found in (rates.get(kind), _joined(rates, kind[0])):
                    if found is not None and found.per_item is not None:
                        return found.per_item
        return None

    # ------------------------------------------------------------------ what is left

    def _left_to_build(self, table: StageTable) -> float:
        places = list(self._plan.known(table).places.items())
        return sum(
            self._size(table, at, place) for at, place in places if not isinstance(place, Part)
        )

    def _size(self, table: StageTable, at: Coordinate, place: MissingPart | None) -> float:
        """Items of a part; of one that waits for its inputs, those that it will have."""
        if table.name not in COUNTED:
            return 1.0
        if table.name == "students":
            return _steps(table, self._plan)
        return float(place.size) if place is not None else self._awaited(table, at)

    def _awaited(self, table: Table, at: Coordinate) -> float:
        """Rows of the driving part, which does not exist yet."""
        while isinstance(table, StageTable) and table.stage.over is not None:
            table = table.tables[table.stage.over]
            match self._plan.known(table).at(at):
                case Part() as part:
                    return float(part.num_rows)
                case MissingPart() as wanted:
                    return float(wanted.size)
        return 0.0


def _steps(table: StageTable, plan: Plan) -> float:
    """Optimiser steps of a training on one trace of each problem, as most selections are."""
    recipe = table.parameters["recipe"]
    problems = plan.known(table.tables["problems"]).parts
    num_examples = sum(part.num_rows for part in problems)
    return max(1.0, float(recipe.epochs * num_examples / recipe.global_batch))


# ---------------------------------------------------------------------------- records


def _earlier(store: Store, names: Iterable[str]) -> Iterator[tuple[Kind, Rate]]:
    """Rates of what the store holds already."""
    for name in names:
        rates: dict[Kind, Rate] = {}
        for record in _newest(store, name):
            kind = (name, _weights(record.recipe.get("parameters", {}).get("model")))
            rates.setdefault(kind, Rate()).add(record.part.seconds, _items(record.part))
        yield from rates.items()


def _newest(store: Store, name: str) -> Iterator[Record]:
    folder = store.root / name
    with suppress(OSError):
        ages = [(e.stat().st_mtime_ns, e.name) for e in os.scandir(folder) if _is_record(e.name)]
        for _, file in sorted(ages, reverse=True)[:NUM_RECORDS]:
            if record := store.record(name, file.removesuffix(".json")):
                yield record


def _is_record(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")


def _items(part: Part) -> float:
    return float(part.num_rows) if part.table in COUNTED else 1.0


def _kind(table: StageTable) -> Kind:
    """A student that is trained first counts as the model that it is trained from."""
    model = table.parameters.get("model")
    while trained := getattr(model, "table", None):
        model = trained.parameters["model"]
    identity = getattr(model, "identity", dict)
    return table.name, _weights(identity())


def _weights(identity: Any) -> str:
    return str(identity.get("weights", "")) if isinstance(identity, dict) else ""


def _joined(rates: dict[Kind, Rate], name: str) -> Rate | None:
    """All of a table, whatever the model."""
    found = [rate for (table, _), rate in rates.items() if table == name]
    return Rate(sum(r.seconds for r in found), sum(r.items for r in found)) if found else None


def span(seconds: float) -> str:
    """`40 s`, `3 min`, `2 h 05 min`: no digit that an estimate does not have."""
    if seconds < 90:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
