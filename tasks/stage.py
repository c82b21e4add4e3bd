"""A stage: a pure function over rows, declared once, that becomes a cached and resumable table.

A stage's signature is read when it is declared: every argument is rows, parts, tables, a model, a
rule or a plain value, and anything else is an error there. A *call* is a table that is wanted: a
stage with its arguments, some of which are tables. It computes nothing, and it is checked where it
is written. What of it exists is a question for `plan.py`; who builds it, for `worker.py`.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from functools import cached_property
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Generic, Literal, Protocol, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from rdpt_core.store.parts import PAYLOAD, Coordinate, Part, Store
from rdpt_core.tables import ids
from rdpt_core.tables.recipe import Plain, plain

R = TypeVar("R")


class Bound(Protocol):
    """A parameter whose identity is not its own fields, such as a model (its content)."""

    def identity(self) -> Plain: ...


class Late(Protocol):
    """A parameter that exists once another table does, such as a model that is trained first."""

    call: Call

    def bind(self, store: Store, part: Part) -> Bound: ...


@dataclass(frozen=True)
class Parts(Generic[R]):
    """A whole table as an argument: its rows part by part, never all at once."""

    store: Store
    row: type[R]
    parts: tuple[Part, ...]

    def __iter__(self) -> Iterator[list[R]]:
        for part in self.parts:
            yield self.store.rows(self.row, part)

    def payload(self) -> Path:
        """The payload folder of a table of one part."""
        (part,) = self.parts
        return self.store.payload(part)


@dataclass
class Work:
    """What a stage function may use besides its rows; nothing of it is identity."""

    folder: Path
    """Where an unfinished part keeps what it has; survives a kill, gone once committed."""
    threads: int
    device: str
    options: Any
    """The Runtime; for loaders alone."""
    progress: Callable[[int], None]
    """Told of units of work (tokens, steps, traces) as they are done."""
    heard: Callable[[Any], None] = lambda row: None
    """Told of rows as they come about, for live views; a row may be told again after a resume."""
    made: dict[str, Any] = field(default_factory=dict)
    """Goes into the part's record; for people."""

    @property
    def payload(self) -> Path:
        """What a stage puts into this folder becomes the part's payload. A resumed stage may find
        it as it left it, or not at all."""
        return self.folder / PAYLOAD


# ---------------------------------------------------------------------------- arguments


class Kind(StrEnum):
    """What an argument of a stage is, by its type."""

    ROWS = "list[Row]"
    """All rows of one part."""
    PARTS = "Parts[Row]"
    """The parts of one table, read one after another."""
    TABLES = "tuple[Parts[Row], ...]"
    """Any number of tables, the parts of each."""
    MODEL = "a model"
    VALUE = "a rule or a plain value"
    WORK = "Work"
    """Not identity: threads, device, progress."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a stage, as its type declares it."""

    name: str
    kind: Kind
    type: Any
    """The row class of a table; the class of a model; the type of a value."""

    @property
    def is_table(self) -> bool:
        return self.kind in (Kind.ROWS, Kind.PARTS, Kind.TABLES)

    def fault(self, value: object) -> str | None:
        """Why `value` cannot be this argument."""
        match self.kind:
            case Kind.ROWS | Kind.PARTS:
                return self._table_fault(value)
            case Kind.TABLES:
                if not isinstance(value, tuple):
                    return f"takes a tuple of tables, not {_shown(value)}"
                return next(filter(None, map(self._table_fault, value)), None)
            case Kind.MODEL:
                fits = isinstance(value, self.type) or _is_late(value)
                return None if fits else f"takes a {self.type.__name__}, not {_shown(value)}"
            case _:
                return self._value_fault(value)

    def _table_fault(self, value: object) -> str | None:
        if isinstance(value, Call | Given) and value.row is self.type:
            return None
        found = f"{value.table}" if isinstance(value, Call | Given) else _shown(value)
        return f"takes a table of {self.type.__name__}, not {found}"

    def _value_fault(self, value: object) -> str | None:
        try:
            TypeAdapter(self.type).validate_python(value, strict=True)
        except ValidationError as error:
            message = error.errors(include_url=False, include_input=False)[0]["msg"]
            return f"takes {_name(self.type)}, not {_shown(value)}: {message}"
        return None


def _argument(parameter: inspect.Parameter, hint: Any, each: str | None) -> Argument:
    """Raises TypeError for what no argument of a stage may be."""
    name, of = parameter.name, get_args(hint)
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise TypeError(f"argument {name!r} has no name of its own: write every argument out")
    if parameter.default is not parameter.empty:
        raise TypeError(f"argument {name!r} has a default, which no key would hold")
    if hint is Work:
        return Argument(name, Kind.WORK, hint)
    if get_origin(hint) is list and _is_row(of[0]):
        return Argument(name, Kind.ROWS, of[0])
    if get_origin(hint) is Parts and _is_row(of[0]):
        return Argument(name, Kind.PARTS, of[0])
    if get_origin(hint) is tuple and get_origin(of[0]) is Parts and of[1:] == (...,):
        return Argument(name, Kind.TABLES, get_args(of[0])[0])
    if isinstance(hint, type) and hasattr(hint, "identity"):
        return Argument(name, Kind.MODEL, hint)
    if _is_plain(hint):
        return Argument(name, Kind.VALUE, tuple[hint, ...] if name == each else hint)
    *kinds, last = Kind
    raise TypeError(f"argument {name!r} is {_name(hint)}: it can be {', '.join(kinds)} or {last}")


def _is_row(kind: Any) -> bool:
    return hasattr(kind, "TABLE")


def _is_plain(hint: Any) -> bool:
    """True for types whose values have a stable form (`recipe.plain`)."""
    if get_origin(hint) is Literal:
        return True
    if get_origin(hint) in (Union, UnionType, tuple, list, dict, Mapping):
        return all(_is_plain(item) for item in get_args(hint) if item is not ...)
    return isinstance(hint, type) and issubclass(
        hint, bool | int | float | str | Enum | BaseModel | NoneType
    )


def _name(hint: Any) -> str:
    return hint.__qualname__ if isinstance(hint, type) and not get_args(hint) else str(hint)


def _shown(value: object) -> str:
    return "None" if value is None else f"a {type(value).__qualname__}"


# ---------------------------------------------------------------------------- stages


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

    def __call__(self, **arguments: Any) -> Call:
        """The table that this stage makes of these arguments. Computes nothing. Raises TypeError
        for an argument that is missing, unknown or of another type."""
        try:
            bound = self._signature.bind(**arguments).arguments
        except TypeError as error:
            raise TypeError(f"{self}: {error}") from None
        for name, value in bound.items():
            if fault := self.arguments[name].fault(value):
                raise TypeError(f"{self}: argument {name!r} {fault}")
        call = Call(self, bound)
        self._check_axes(call)
        return call

    def __str__(self) -> str:
        return f"stage {self.name} ({self.function.__name__})"

    @cached_property
    def _signature(self) -> inspect.Signature:
        """What a call gives: all but the Work."""
        kind = inspect.Parameter.KEYWORD_ONLY
        given = [a.name for a in self.arguments.values() if a.kind is not Kind.WORK]
        return inspect.Signature([inspect.Parameter(name, kind) for name in given])

    def _check_axes(self, call: Call) -> None:
        """Parts meet by coordinates, so these must count the same things."""
        if self.over is None:
            return
        driver = call.tables[self.over]
        for name, table in call.tables.items():
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
            arguments = _arguments(function, each)
            _check_roles(arguments, over, each, by_id)
        except (TypeError, NameError) as error:
            raise TypeError(f"stage {name} ({function.__name__}): {error}") from error
        return Stage(name, version, row, function, arguments, over, each, by_id, own_process)

    return decorate


def _arguments(function: Callable[..., Any], each: str | None) -> dict[str, Argument]:
    hints = typing.get_type_hints(function)
    parameters = inspect.signature(function).parameters.values()
    return {p.name: _argument(p, hints.get(p.name, "untyped"), each) for p in parameters}


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


# ---------------------------------------------------------------------------- wanted tables


@dataclass(frozen=True, eq=False)
class Given:
    """A table that no stage makes: rows of a source, committed as they are read."""

    table: str
    row: type
    source: str
    """Digest of what names the source; two Given of one source and table are one."""
    axes: tuple[str, ...]
    """What each number of a part's coordinate counts, see `Call.axes`."""
    parts: Callable[[Store], Mapping[Coordinate, Part] | None]
    """The parts; None where the source has not been read yet."""
    read: Callable[[Store], None]
    """Reads the source and commits its parts."""
    peek: Callable[[], Mapping[Coordinate, Part]]
    """Reads the source and says which parts it would commit; for plans."""

    @property
    def digest(self) -> str:
        return ids.digest("given", self.table, self.source)


@dataclass(frozen=True, eq=False)
class Call:
    """A table that is wanted."""

    stage: Stage
    arguments: Mapping[str, Any]
    """Every argument but the Work, as it was given."""

    @cached_property
    def tables(self) -> Mapping[str, Call | Given]:
        """The tables among the arguments; those of one argument are numbered in keys."""
        found: dict[str, Call | Given] = {}
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
        """Of how the table is derived: equal for equal calls, whoever makes them."""
        inputs = {name: call.digest for name, call in sorted(self.tables.items())}
        fixed = {
            name: value.call.digest if _is_late(value) else plain(identity_of(value), name)
            for name, value in sorted(self.parameters.items())
        }
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
    def table(self) -> str:
        name: str = self.stage.row.TABLE  # type: ignore[attr-defined]
        return name

    @property
    def row(self) -> type:
        return self.stage.row

    @property
    def late(self) -> dict[str, Late]:
        """The parameters that exist once another table does."""
        return {name: value for name, value in self.parameters.items() if _is_late(value)}

    def needs(self) -> list[Call | Given]:
        """The tables that must exist before this one can be made."""
        return [*self.tables.values(), *(late.call for late in self.late.values())]

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


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number}"


def _is_late(value: object) -> bool:
    return hasattr(value, "bind")


def identity_of(value: Any) -> Any:
    """What a parameter counts as in a key."""
    return value.identity() if hasattr(value, "identity") else value
