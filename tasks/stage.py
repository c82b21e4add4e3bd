"""A stage: a pure function over rows, declared once, that becomes a cached and resumable table.

A stage is read and checked when it is declared (`arguments.py`). Called with its arguments, some of
which are tables, it describes another table: that computes nothing, and is checked where it is
written. What of a table exists is a question for `plan.py`; `worker.py` builds what is missing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias

from rdpt_core.store.parts import Store
from rdpt_core.store.record import Coordinate, Part
from rdpt_core.tables import ids
from rdpt_core.tables.recipe import Plain, plain
from tasks.arguments import Argument, Kind, Parts, Work, is_late, read_arguments

__all__ = ["Parts", "SourceTable", "Stage", "StageTable", "Table", "Work", "identity_of", "stage"]


class Bound(Protocol):
    """A parameter whose identity is not its own fields, such as a model (its content)."""

    def identity(self) -> Plain: ...


class Late(Protocol):
    """A parameter that exists once another table does, such as a model that is trained first."""

    table: StageTable

    def bind(self, store: Store, part: Part) -> Bound: ...


@dataclass(frozen=True, eq=False)
class Stage:
    """Name, version and row type around one function `rows -> rows`."""

    name: str
    version: int
    row: type
    function: Callable[..., Iterable[Any]]
    arguments: Mapping[str, Argument]
    over: str | None
    """The argument whose parts drive: one part out per part in. None: one part in all."""
    each: str | None
    """The parameter that is expanded: one part per value as well."""
    by_id: tuple[str, ...]
    """Tables that are only looked up by ids, which digest what they name: never in the key."""
    own_process: bool
    """True if its model is loaded in another process than this one."""

    def __call__(self, **arguments: Any) -> StageTable:
        """The table that this stage makes of these arguments. Computes nothing. Raises TypeError
        for an argument that is missing, unknown or of another type."""
        try:
            bound = self._signature.bind(**arguments).arguments
        except TypeError as error:
            raise TypeError(f"{self}: {error}") from None
        for name, value in bound.items():
            if fault := self.arguments[name].fault(value):
                raise TypeError(f"{self}: argument {name!r} {fault}")
        table = StageTable(self, bound)
        self._check_axes(table)
        return table

    def __str__(self) -> str:
        return f"stage {self.name} ({self.function.__name__})"

    @cached_property
    def _signature(self) -> inspect.Signature:
        """Every argument but the Work."""
        kind = inspect.Parameter.KEYWORD_ONLY
        given = [a.name for a in self.arguments.values() if a.kind is not Kind.WORK]
        return inspect.Signature([inspect.Parameter(name, kind) for name in given])

    def _check_axes(self, described: StageTable) -> None:
        """Parts meet by coordinates, so these must count the same things."""
        if self.over is None:
            return
        driver = described.tables[self.over]
        for name, table in described.tables.items():
            if driver.axes[: len(table.axes)] != table.axes:
                raise TypeError(
                    f"{self}: the parts of {name!r} are not those of {self.over!r}, nor what these "
                    "were made from: the two tables come from different problems or samples"
                )


def stage(
    name: str,
    *,
    version: int,
    row: type,
    over: str | None = None,
    each: str | None = None,
    by_id: tuple[str, ...] = (),
    own_process: bool = False,
) -> Callable[[Callable[..., Iterable[Any]]], Stage]:
    """Makes a stage of a function. Bump `version` when rows change for the same inputs.

    Raises TypeError, naming stage and argument, for a signature that no table can be made by.
    """

    def decorate(function: Callable[..., Iterable[Any]]) -> Stage:
        try:
            arguments = read_arguments(function, each)
            _check_roles(arguments, over, each, by_id)
        except (TypeError, NameError) as error:
            raise TypeError(f"stage {name} ({function.__name__}): {error}") from error
        return Stage(name, version, row, function, arguments, over, each, by_id, own_process)

    return decorate


def _check_roles(
    arguments: Mapping[str, Argument], over: str | None, each: str | None, by_id: tuple[str, ...]
) -> None:
    """Raises TypeError where `over`, `each` or `by_id` name another kind of argument, or where rows
    of one part are asked of a table that is read whole."""
    roles: list[tuple[str, tuple[str, ...], tuple[Kind, ...]]] = [
        ("over", (over,) if over else (), (Kind.ROWS, Kind.PARTS)),
        ("each", (each,) if each else (), (Kind.VALUE,)),
        ("by_id", by_id, (Kind.ROWS, Kind.PARTS, Kind.TABLES)),
    ]
    for role, names, kinds in roles:
        for name in names:
            if name not in arguments or arguments[name].kind not in kinds:
                raise TypeError(f"{role}={name!r} names no argument that is {' or '.join(kinds)}")
    if over is None:
        if each is not None:
            raise TypeError(f"each={each!r} needs a table that drives: name it with `over`")
        for argument in arguments.values():
            if argument.kind is Kind.ROWS:
                raise TypeError(
                    f"argument {argument.name!r} takes the rows of one part, and without `over` a "
                    f"table is read whole: make it Parts[{argument.type.__name__}]"
                )


# ---------------------------------------------------------------------------- tables


@dataclass(frozen=True, eq=False)
class SourceTable:
    """A table that no stage makes: rows of a source, committed as they are read."""

    name: str
    row: type
    source: str
    """Digest of what names the source; two tables of one source and name are one."""
    axes: tuple[str, ...]
    """What each number of a part's coordinate counts, see `StageTable.axes`."""
    parts: Callable[[Store], Mapping[Coordinate, Part] | None]
    """The parts; None where the source has not been read yet."""
    read: Callable[[Store], None]
    """Reads the source and commits its parts."""
    peek: Callable[[], Mapping[Coordinate, Part]]
    """Reads the source and says which parts it would commit; for plans."""

    @property
    def digest(self) -> str:
        return ids.digest("given", self.name, self.source)

    def needs(self) -> Sequence[Table]:
        """No other table."""
        return ()


@dataclass(frozen=True, eq=False)
class StageTable:
    """A table that a stage makes of its arguments."""

    stage: Stage
    arguments: Mapping[str, Any]
    """Every argument but the Work, as it was given."""

    @cached_property
    def tables(self) -> Mapping[str, Table]:
        """The tables among the arguments; those of one argument are numbered in keys."""
        found: dict[str, Table] = {}
        for name, value in self.arguments.items():
            match self.stage.arguments[name].kind:
                case Kind.ROWS | Kind.PARTS:
                    found[name] = value
                case Kind.TABLES:
                    found |= {_numbered(name, n): table for n, table in enumerate(value)}
        return found

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        """Models, rules and plain values among the arguments."""
        of = self.stage.arguments
        return {name: value for name, value in self.arguments.items() if not of[name].is_table}

    @cached_property
    def digest(self) -> str:
        """Equal for tables that are derived in the same way, whoever describes them."""
        inputs = {name: table.digest for name, table in sorted(self.tables.items())}
        fixed = {
            name: value.table.digest if is_late(value) else plain(identity_of(value), name)
            for name, value in sorted(self.parameters.items())
        }
        # Results hold it in their keys, by way of their configuration's digest.
        return ids.digest("call", self.stage.name, self.stage.version, [inputs, fixed])

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """What each number of a part's coordinate counts: the blocks of a source, the values that
        a stage expands. Empty where the table is one part."""
        if self.stage.over is None:
            return ()
        own = (self.digest,) if self.stage.each else ()
        return (*self.tables[self.stage.over].axes, *own)

    @property
    def name(self) -> str:
        name: str = self.stage.row.TABLE  # type: ignore[attr-defined]
        return name

    @property
    def row(self) -> type:
        return self.stage.row

    @property
    def late(self) -> dict[str, Late]:
        """The parameters that exist once another table does."""
        return {name: value for name, value in self.parameters.items() if is_late(value)}

    def needs(self) -> Sequence[Table]:
        """The tables that must be complete before this one is built."""
        return [*self.tables.values(), *(late.table for late in self.late.values())]

    def hand_over(
        self,
        store: Store,
        inputs: Mapping[str, tuple[Part, ...]],
        parameters: Mapping[str, Any],
        work: Work,
    ) -> dict[str, Any]:
        """The arguments of the stage function for one part, each in the form that it declares."""

        def parts(name: str) -> Parts[Any]:
            return Parts(store, self.tables[name].row, inputs[name])

        handed = dict(parameters)
        for name, argument in self.stage.arguments.items():
            match argument.kind:
                case Kind.ROWS:
                    (handed[name],) = parts(name)
                case Kind.PARTS:
                    handed[name] = parts(name)
                case Kind.TABLES:
                    numbers = range(len(self.arguments[name]))
                    handed[name] = tuple(parts(_numbered(name, n)) for n in numbers)
                case Kind.WORK:
                    handed[name] = work
        return handed


Table: TypeAlias = StageTable | SourceTable
"""A table that is wanted."""


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number}"


def identity_of(value: Any) -> Any:
    """What a parameter counts as in a key."""
    return value.identity() if hasattr(value, "identity") else value
