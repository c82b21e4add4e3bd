"""What of a table exists: every part is looked up in the store once, then the plan is kept current.

A part is found by its recipe, which follows once its input parts exist. Parts meet by coordinates:
the input of a part is the one of equal coordinate, or of its prefix where a table has fewer parts
(the problems of a block serve all its samples). The plan alone says where a part stands: a key is
made of contents, so one part may stand at several places, even in several experiments.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from rdpt_core.store.parts import Damaged, Store
from rdpt_core.store.record import Coordinate, Part
from rdpt_core.tables.recipe import Plain, Recipe, plain
from tasks.stage import SourceTable, StageTable, Table, identity_of


@dataclass(frozen=True, slots=True)
class MissingPart:
    """A part that the store lacks though its inputs exist: what is left to build."""

    coordinate: Coordinate
    recipe: Recipe
    inputs: Mapping[str, tuple[Part, ...]]
    parameters: Mapping[str, Any]

    @property
    def key(self) -> str:
        return self.recipe.key

    @property
    def size(self) -> int:
        """Rows of the driving part: how much work this is, roughly."""
        return sum(part.num_rows for part in next(iter(self.inputs.values()), ()))


Place: TypeAlias = Part | MissingPart | None
"""A committed part, one that is left to build, or None where inputs are missing."""


@dataclass(frozen=True)
class TableState:
    """The parts of a table by coordinate. A source that was not read, whose parts are unknown, has
    one place, which is None."""

    table: Table
    places: dict[Coordinate, Place]
    num_changes: int
    """How many changes its plan knew of when it looked."""
    committed: bool = True
    """False for a source that a plan only peeked at."""

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(found for found in self.places.values() if isinstance(found, Part))

    @property
    def missing(self) -> tuple[MissingPart, ...]:
        return tuple(found for found in self.places.values() if isinstance(found, MissingPart))

    @cached_property
    def is_blocked(self) -> bool:
        """True if inputs were missing when the plan looked."""
        return any(place is None for place in self.places.values())

    @property
    def complete(self) -> bool:
        return self.committed and all(isinstance(found, Part) for found in self.places.values())

    def at(self, coordinate: Coordinate) -> Place:
        """The place that belongs to a coordinate of another table, which has these axes first."""
        return self.places.get(coordinate[: len(self.table.axes)])


class Plan:
    """Looks tables up in the store, each part once; builds nothing and writes nothing.

    One plan serves a whole run, whose workers report what they commit; threads may share it. With
    `peek` a source that was never read is read, so that what follows from it can be counted.
    """

    def __init__(self, store: Store, peek: bool = False) -> None:
        self.store, self._peek = store, peek
        self._tables: dict[str, TableState] = {}
        self._locks: dict[str, threading.RLock] = {}
        """One for each table: a table is looked up under its own lock and those of its inputs."""
        self._counting = threading.Lock()
        self._num_changes = 0

    def state(self, table: Table) -> TableState:
        """What exists of a table. A blocked one is looked at again once anything has changed."""
        with self._lock(table):
            known = self._tables.get(table.digest)
            if known is None or (known.is_blocked and known.num_changes < self._num_changes):
                known = self._look_up(table, known)
                self._tables[table.digest] = known
            return known

    def known(self, table: Table) -> TableState:
        """What was last seen of a table, with the parts that were committed since. Cheap, so that
        an estimate may ask every second; inputs that exist by now may be missing in it."""
        return self._tables.get(table.digest) or self.state(table)

    def parts(self) -> Iterator[Part]:
        """The committed parts of all tables looked up so far; a part may come several times."""
        for state in list(self._tables.values()):
            if state.committed:
                yield from state.parts

    def commit(self, table: StageTable, coordinate: Coordinate, part: Part) -> None:
        """Takes note of a part that exists from now on, whoever built it."""
        with self._lock(table):
            if known := self._tables.get(table.digest):
                known.places[coordinate] = part
        self._count_change()

    def refresh(self, table: SourceTable) -> None:
        """Takes note of a source that was read."""
        with self._lock(table):
            self._tables.pop(table.digest, None)
        self._count_change()

    def forget(self) -> None:
        """Looks everything up again, after parts turned out to be damaged."""
        self._tables.clear()

    def _lock(self, table: Table) -> threading.RLock:
        return self._locks.setdefault(table.digest, threading.RLock())

    def _count_change(self) -> None:
        with self._counting:
            self._num_changes += 1

    # ------------------------------------------------------------------ looking up

    def _look_up(self, table: Table, known: TableState | None) -> TableState:
        num_changes = self._num_changes  # before the inputs are looked at, which may change then
        if isinstance(table, SourceTable):
            parts = table.parts(self.store)
            if parts is None and self._peek:
                return TableState(table, dict(table.peek()), num_changes, committed=False)
            return TableState(table, dict(parts) if parts is not None else {(): None}, num_changes)
        places = known.places if known else {}
        return TableState(table, dict(self._places(table, places)), num_changes)

    def _places(
        self, described: StageTable, known: Mapping[Coordinate, Place]
    ) -> Iterator[tuple[Coordinate, Place]]:
        """Every place, in the order in which a stage that reads the table whole meets its parts."""
        tables = {name: self.state(table) for name, table in described.tables.items()}
        over = described.stage.over
        driving: Iterable[Coordinate] = tables[over].places if over else [()]
        for suffix, parameters in self._bindings(described):
            identity = parameters and {
                name: plain(identity_of(value), name) for name, value in parameters.items()
            }
            for above in driving:
                at = (*above, *suffix)
                yield at, known.get(at) or self._place(described, tables, at, parameters, identity)

    def _place(
        self,
        table: StageTable,
        tables: Mapping[str, TableState],
        at: Coordinate,
        parameters: Mapping[str, Any] | None,
        identity: Mapping[str, Plain] | None,
    ) -> Place:
        inputs = _inputs(table, tables, at)
        if inputs is None or parameters is None or identity is None:
            return None
        contents = {
            name: [part.content for part in parts]
            for name, parts in inputs.items()
            if name not in table.stage.by_id
        }
        recipe = Recipe(table.stage.name, table.stage.version, identity, contents)
        part = self.store.find(table.name, recipe.key)
        return part or MissingPart(at, recipe, inputs, parameters)

    def _bindings(self, table: StageTable) -> Iterator[tuple[Coordinate, Mapping[str, Any] | None]]:
        """The end of a coordinate for each value that the stage expands, and the parameters with
        that value."""
        bound, each = self._bound(table), table.stage.each
        if each is None:
            yield (), bound
            return
        for number, value in enumerate(table.parameters[each]):
            yield (number,), None if bound is None else {**bound, each: value}

    def _bound(self, table: StageTable) -> dict[str, Any] | None:
        """Parameters with late ones bound; None while one of them does not exist yet."""
        bound = dict(table.parameters)
        for name, value in table.late.items():
            trained = self.state(value.table)
            if not trained.complete:
                return None
            try:
                bound[name] = value.bind(self.store, trained.parts[0])
            except Damaged:
                return None
        return bound


def _inputs(
    table: StageTable, tables: Mapping[str, TableState], at: Coordinate
) -> dict[str, tuple[Part, ...]] | None:
    """The parts that a part is made from, those of the driving table first; None where one of them
    is missing."""
    over = table.stage.over
    names = [over, *(name for name in tables if name != over)] if over else list(tables)
    inputs: dict[str, tuple[Part, ...]] = {}
    for name in names:
        places = [tables[name].at(at)] if over else tables[name].places.values()
        inputs[name] = tuple(place for place in places if isinstance(place, Part))
        if len(inputs[name]) < len(places):
            return None
    return inputs
