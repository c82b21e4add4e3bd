"""What of the wanted tables exists: every table is looked up in the store once, then kept up.

A *job* is one part of a call whose input parts exist; its recipe and key follow, and the store says
whether it is done. Parts meet by coordinates: the input of a part is the one of equal coordinate,
or of its prefix where a table is cut more coarsely (the problems of a block serve all its samples).
Where a part stands is said by the plan alone. One part may stand at several places, of several
experiments, because its key is made of contents.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from rdpt_core.store.parts import Coordinate, Damaged, Part, Store
from rdpt_core.tables.recipe import Plain, Recipe, plain
from tasks.stage import Call, Given, identity_of


@dataclass(frozen=True, slots=True)
class Job:
    """One part of a call whose inputs exist."""

    coordinate: Coordinate
    recipe: Recipe
    inputs: Mapping[str, tuple[Part, ...]]
    parameters: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Rows of the driving part: how much work this is, roughly."""
        return sum(part.num_rows for part in next(iter(self.inputs.values()), ()))


Place: TypeAlias = Part | Job | None
"""A committed part, a job to do, or None where inputs are missing."""


@dataclass(frozen=True)
class Table:
    """What is known of a call, by coordinate. A source that was not read, whose parts are unknown,
    has one place, which is None."""

    call: Call | Given
    places: dict[Coordinate, Place]
    num_changes: int
    """Of which its plan had been told when it looked."""
    committed: bool = True
    """False for a source that a plan only peeked at."""

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(found for found in self.places.values() if isinstance(found, Part))

    @property
    def jobs(self) -> tuple[Job, ...]:
        return tuple(found for found in self.places.values() if isinstance(found, Job))

    @property
    def is_blocked(self) -> bool:
        """True if inputs are missing."""
        return None in self.places.values()

    @property
    def complete(self) -> bool:
        return self.committed and all(isinstance(found, Part) for found in self.places.values())

    def at(self, coordinate: Coordinate) -> Place:
        """What stands where another table, made from this one or beside it, has `coordinate`."""
        return self.places.get(coordinate[: len(self.call.axes)])


class Plan:
    """Looks calls up in the store, each part once; builds nothing and writes nothing.

    One plan serves a whole run, whose workers tell it what they commit; threads may share it. With
    `peek` a source that was never read is read, so that what follows from it can be counted.
    """

    def __init__(self, store: Store, peek: bool = False) -> None:
        self.store, self._peek = store, peek
        self._tables: dict[str, Table] = {}
        self._locks: dict[str, threading.RLock] = {}
        """One for each table: a table is looked up under its own lock and those of its inputs."""
        self._counting = threading.Lock()
        self._num_changes = 0

    def table(self, call: Call | Given) -> Table:
        """What exists of a table. A blocked one is looked at again once anything has changed."""
        with self._lock(call):
            known = self._tables.get(call.digest)
            if known is None or (known.is_blocked and known.num_changes < self._num_changes):
                known = self._look_up(call, known)
                self._tables[call.digest] = known
            return known

    def parts(self) -> Iterator[Part]:
        """Every part of the tables that were asked for; one that stands twice is there twice."""
        for table in list(self._tables.values()):
            if table.committed:
                yield from table.parts

    def commit(self, call: Call, job: Job, part: Part) -> None:
        """The part of a job exists from now on, whoever made it."""
        with self._lock(call):
            self.table(call).places[job.coordinate] = part
        self._count_change()

    def refresh(self, given: Given) -> None:
        """A source was read."""
        with self._lock(given):
            self._tables.pop(given.digest, None)
        self._count_change()

    def forget(self) -> None:
        """Everything is looked up again: parts that were there have turned out to be damaged."""
        self._tables.clear()

    def _lock(self, call: Call | Given) -> threading.RLock:
        return self._locks.setdefault(call.digest, threading.RLock())

    def _count_change(self) -> None:
        with self._counting:
            self._num_changes += 1

    # ------------------------------------------------------------------ looking up

    def _look_up(self, call: Call | Given, known: Table | None) -> Table:
        num_changes = self._num_changes  # before the inputs are looked at, which may change then
        if isinstance(call, Given):
            parts = call.parts(self.store)
            if parts is None and self._peek:
                return Table(call, dict(call.peek()), num_changes, committed=False)
            return Table(call, dict(parts) if parts is not None else {(): None}, num_changes)
        places = known.places if known else {}
        return Table(call, dict(self._places(call, places)), num_changes)

    def _places(
        self, call: Call, known: Mapping[Coordinate, Place]
    ) -> Iterator[tuple[Coordinate, Place]]:
        """Every place of a table, in the order in which whoever reads it whole meets its parts."""
        tables = {name: self.table(table) for name, table in call.tables.items()}
        over = call.stage.over
        driving: Iterable[Coordinate] = tables[over].places if over else [()]
        for suffix, parameters in self._bindings(call):
            identity = parameters and _identities(parameters)
            for above in driving:
                at = (*above, *suffix)
                yield at, known.get(at) or self._place(call, tables, at, parameters, identity)

    def _place(
        self,
        call: Call,
        tables: Mapping[str, Table],
        at: Coordinate,
        parameters: Mapping[str, Any] | None,
        identity: Mapping[str, Plain] | None,
    ) -> Place:
        inputs = _inputs(call, tables, at)
        if inputs is None or parameters is None or identity is None:
            return None
        contents = {
            name: [part.content for part in parts]
            for name, parts in inputs.items()
            if name not in call.stage.by_id
        }
        recipe = Recipe(call.stage.name, call.stage.version, identity, contents)
        part = self.store.find(call.table, recipe.key)
        return part or Job(at, recipe, inputs, parameters)

    def _bindings(self, call: Call) -> Iterator[tuple[Coordinate, Mapping[str, Any] | None]]:
        """Where the values that a stage expands stand, and all parameters with one of them."""
        bound, each = self._bound(call), call.stage.each
        if each is None:
            yield (), bound
            return
        for number, value in enumerate(call.parameters[each]):
            yield (number,), None if bound is None else {**bound, each: value}

    def _bound(self, call: Call) -> dict[str, Any] | None:
        """Parameters with late ones bound; None while one of them does not exist yet."""
        bound = dict(call.parameters)
        for name, value in call.late.items():
            trained = self.table(value.call)
            if not trained.complete:
                return None
            try:
                bound[name] = value.bind(self.store, trained.parts[0])
            except Damaged:
                return None
        return bound


def _inputs(
    call: Call, tables: Mapping[str, Table], at: Coordinate
) -> dict[str, tuple[Part, ...]] | None:
    """The parts that a part is made from, those of the driving table first; None where one of them
    is missing."""
    over = call.stage.over
    names = [over, *(name for name in tables if name != over)] if over else list(tables)
    inputs: dict[str, tuple[Part, ...]] = {}
    for name in names:
        places = [tables[name].at(at)] if over else tables[name].places.values()
        inputs[name] = tuple(place for place in places if isinstance(place, Part))
        if len(inputs[name]) < len(places):
            return None
    return inputs


def _identities(parameters: Mapping[str, Any]) -> dict[str, Plain]:
    return {name: plain(identity_of(value), name) for name, value in parameters.items()}
