"""Reading an experiment file: every error at once, with the key, the rule and the nearest name."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from rdpt_core.tables.spelling import hint, nearest
from settings.experiment import Experiment
from settings.shipped import shipped


class BadSettings(ValueError):
    """What a user wrote cannot be run; `lines` says why, one fault each."""

    def __init__(self, place: str, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.place, self.lines = place, lines


def find_experiment(name: str) -> Path:
    """The file of an experiment: a path, or the name of one that comes with rdpt."""
    if os.path.isfile(name):  # Path.is_file raises for a name that is too long
        return Path(name)
    known = shipped()
    if name in known:
        return known[name]
    raise BadSettings(
        name,
        [f"no file {name!r}; {hint(name, known)}shipped experiments: {', '.join(known) or 'none'}"],
    )


def read_experiment(path: Path) -> Experiment:
    """Raises BadSettings with all faults of the file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(str(path), [f"cannot be read: {error}"]) from error
    return parse_experiment(text, path)


def parse_experiment(text: str, path: Path) -> Experiment:
    """The experiment that the text of a file describes. Raises BadSettings with all its faults."""
    try:
        table = tomllib.loads(text)
    except (
        ValueError,
        RecursionError,
    ) as error:  # also numbers too long and tables nested too deep
        raise BadSettings(str(path), [f"is not TOML: {error}"]) from error
    try:
        # Strict, so that `seed = "1"` and `limit = true` are refused; by way of JSON, since a
        # strict tuple takes no list of Python's.
        return Experiment.model_validate_json(json.dumps(table, default=str), strict=True)
    except ValidationError as error:
        raise BadSettings(str(path), faults(error, Experiment)) from error


def faults(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One line per fault: the key as the file spells it, what was found, the rule."""
    lines = []
    for item in error.errors(include_url=False):
        if item["type"] == "default_factory_not_called":
            continue  # its default depends on another key, whose fault has a line of its own
        key = _spelled(item["loc"])
        if item["type"] == "extra_forbidden":
            lines.append(f"{key}: unknown key{_nearest(item['loc'], model)}")
        elif item["type"] == "union_tag_not_found":
            lines.append(_untagged(key, item["ctx"]["discriminator"].strip("'"), item["input"]))
        elif item["type"] == "missing":
            lines.append(f"{key}: is required")
        elif item["type"] == "value_error":
            lines.append(f"{key}: {item['ctx']['error']}" if key else str(item["ctx"]["error"]))
        else:
            lines.append(f"{key}: {_short(item['input'])} - {item['msg'].lower()}")
    return lines


def _untagged(key: str, tag: str, found: Any) -> str:
    """The fault of a table that lacks the key naming its kind, such as `source`."""
    near = nearest(tag, found) if isinstance(found, dict) else None
    return f"{key}.{near}: unknown key, did you mean {tag}?" if near else f"{key}: needs {tag}"


def _spelled(location: tuple[int | str, ...]) -> str:
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _nearest(location: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """The nearest key of the table in which an unknown one stands."""
    known = sorted(_keys_at(location[:-1], model))
    near = nearest(str(location[-1]), known, cutoff=0.5)
    if near:
        return f", did you mean {near}?"
    return f"; known here: {', '.join(known)}" if known else ""


def _keys_at(location: tuple[int | str, ...], model: type[BaseModel]) -> set[str]:
    models = {model}
    for step in location:
        if isinstance(step, int):
            continue
        inner = [m.model_fields[step].annotation for m in models if step in m.model_fields]
        # A step that is no field is the tag of a union: the same models, narrowed by nothing.
        models = {found for hint in inner for found in _models_in(hint)} if inner else models
    return {name for found in models for name in found.model_fields}


def _models_in(hint: Any) -> set[type[BaseModel]]:
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return {hint}
    return {found for part in get_args(hint) for found in _models_in(part)}
