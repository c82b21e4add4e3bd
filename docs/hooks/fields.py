"""Settings as tables of Markdown: each field of a pydantic model, its type, default and note."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

PLAIN = {str: "text", int: "integer", float: "number", bool: "true or false"}
BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
SAID = 2**32
"""Bounds from here on are those of a type of number, and left out."""
HEAD = "| key | type | default | |\n|---|---|---|---|\n"


def sections(model: type[BaseModel], title: str, variable: str = "") -> Iterator[str]:
    """The model as one section, then each model that its fields hold, once. `variable` is what the
    names of environment variables begin with, if its fields are set by such."""
    own = {name: f"{variable}{name.upper()}" if variable else name for name in model.model_fields}
    yield _section(model, title, own)
    seen = {model}
    for inner, place in _held(model, "", seen):
        heading = f"An entry of `{own[place.strip('`[]')]}`" if variable else place
        yield _section(inner, heading, {name: name for name in inner.model_fields})


def _held(
    model: type[BaseModel], path: str, seen: set[type[BaseModel]]
) -> Iterator[tuple[type[BaseModel], str]]:
    """Every model below `model`, with its place in the file."""
    for name, field in model.model_fields.items():
        place = f"{path}.{name}" if path else name
        for inner in models_in(field.annotation):
            if inner not in seen:
                seen.add(inner)
                yield inner, _title(place, field, inner)
                yield from _held(inner, place, seen)


def _title(place: str, field: FieldInfo, inner: type[BaseModel]) -> str:
    """`[problems] source = "file"`: how a table of TOML is told from others in its place."""
    table = f"[[{place}]]" if "tuple" in str(field.annotation) else f"[{place}]"
    kind = f' source = "{source}"' if (source := source_of(inner)) else ""
    return f"`{table}{kind}`"


def source_of(model: type[BaseModel]) -> str | None:
    """Where a table is one of several, the value of `source` that chooses it."""
    field = model.model_fields.get("source")
    chosen = get_args(field.annotation) if field is not None else ()
    return str(chosen[0]) if len(chosen) == 1 else None


def _section(model: type[BaseModel], title: str, names: Mapping[str, str]) -> str:
    notes = field_notes(model)
    rows = [
        f"| `{names[name]}` | {kind(field.annotation)}{bounds(field.metadata)} | {default(field)} "
        f"| {_cell(notes.get(name, ''))} |"
        for name, field in model.model_fields.items()
    ]
    parts = [f"## {title} {{ #{anchor(model)} }}", note(model), HEAD + "\n".join(rows)]
    return "\n\n".join(part for part in (parts if rows else parts[:2]) if part) + "\n"


def default(field: FieldInfo) -> str:
    """As TOML has it; nothing where leaving it out means something else than a value."""
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return "depends on the machine"
    value = field.default
    if value is None or isinstance(value, BaseModel) or value in ((), {}):
        return ""
    return f"`{_toml(value)}`"


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else f'"{value}"'


def kind(annotation: Any) -> str:
    """A type in words; a model is a link to its section."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind(arguments[0]) + bounds(arguments[1:])
    if origin is Literal:
        return ", ".join(f"`{_toml(value)}`" for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(kind(one) for one in arguments if one is not NoneType))
    if origin is tuple:
        return f"list of: {kind(arguments[0])}"
    if origin is dict:
        return "table"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        source = source_of(annotation)
        return f"[{f'`{source}`' if source else 'table'}](#{anchor(annotation)})"
    return PLAIN.get(annotation, "text")


def bounds(metadata: Any) -> str:
    """`, at least 1`, of the constraints that a type carries."""
    flat = [one for item in metadata for one in getattr(item, "metadata", None) or [item]]
    said = [
        f"{words} {getattr(one, name):,}"
        for name, words in BOUNDS.items()
        for one in flat
        if getattr(one, name, None) is not None and getattr(one, name) < SAID
    ]
    return "".join(f", {one}" for one in said)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is not Literal:
        for argument in get_args(annotation):
            yield from models_in(argument)


def anchor(model: type[BaseModel]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", model.__name__).lower()


def note(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__doc__ or "")


def field_notes(model: type[BaseModel]) -> dict[str, str]:
    """Field to the text under it, with those that a base class declares."""
    notes: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            notes |= _notes_of_module(base.__module__).get(base.__name__, {})
    return notes


@lru_cache
def _notes_of_module(module: str) -> dict[str, dict[str, str]]:
    """Class to field to note. Python keeps no text of a field, so the source is read."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    classes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return {one.name: dict(_notes_of_class(one)) for one in classes}


def _notes_of_class(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, text in zip(node.body, node.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            yield field.target.id, inspect.cleandoc(str(text.value.value))


def _cell(text: str) -> str:
    return " ".join(text.replace("|", r"\|").split())
