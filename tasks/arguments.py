"""What a stage function takes: each argument is rows, parts, tables, a model or a plain value.

The kind of an argument follows from its type, with annotations resolved, and never from how the
annotation is spelled. What is passed for it is checked against that type where a table is written.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from rdpt_core.machine.progress import ProgressCallback
from rdpt_core.store.parts import PAYLOAD, Store
from rdpt_core.store.record import Part

R = TypeVar("R")


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
    """What a stage function may use next to its arguments; nothing of it is identity."""

    folder: Path
    """Holds unfinished work on the part: it survives a kill and is removed by the commit."""
    threads: int
    device: str
    options: Any
    """The Runtime; for loaders alone."""
    progress: ProgressCallback
    """Takes how many more units of work (tokens, steps) are done, and how many items (traces)."""
    expect: Callable[[int], None] = lambda num_units: None
    """Takes how many units a part will take, from a stage that knows it only when it begins."""
    show_row: Callable[[Any], None] = lambda row: None
    """Takes a row as soon as it exists, for live views; a resumed stage may show it again."""
    notes: dict[str, Any] = field(default_factory=dict)
    """Becomes `made` of the part's record; for people."""

    @property
    def payload(self) -> Path:
        """What a stage puts into this folder becomes the part's payload. A resumed stage may find
        it as it left it, or not at all."""
        return self.folder / PAYLOAD


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
                fits = isinstance(value, self.type) or is_late(value)
                return None if fits else f"takes a {self.type.__name__}, not {_shown(value)}"
            case _:
                return self._value_fault(value)

    def _table_fault(self, value: object) -> str | None:
        is_table = hasattr(value, "axes")
        if is_table and getattr(value, "row", None) is self.type:
            return None
        found = getattr(value, "name", "") if is_table else _shown(value)
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


def read_arguments(function: Callable[..., Any], each: str | None) -> dict[str, Argument]:
    """The arguments of a stage function by name. Raises TypeError, or NameError for an annotation
    that names nothing."""
    hints = typing.get_type_hints(function)
    parameters = inspect.signature(function).parameters.values()
    return {p.name: _argument(p, hints.get(p.name, "untyped"), each) for p in parameters}


def is_late(value: object) -> bool:
    """True for a parameter that exists once another table does."""
    return hasattr(value, "bind")
