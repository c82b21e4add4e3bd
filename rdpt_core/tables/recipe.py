"""Identity: what a part was made from, and the key that follows from it.

A recipe holds a stage, its version, its parameters and the content of its input parts. Its digest
is the key of the part. The one distinction drawn here: a value either has a stable serialisation
or is rejected with its path; nothing is ever `str()`-ed into a key.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict

from rdpt_core.tables import ids

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"


class Rule(BaseModel):
    """Base of every rule and setting: frozen, finite, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Unstable(ValueError):
    """A value that cannot be part of a key."""


def plain(value: object, path: str = "") -> Plain:
    """The JSON form of `value`, equal for equal values on every machine.

    Raises Unstable, naming `path`, for a value without a stable serialisation.
    """
    if value is None or isinstance(value, bool | str) or type(value) is int:
        return value
    if type(value) is float:
        if not math.isfinite(value):
            raise Unstable(f"{path or 'value'} is {value}: a key takes finite numbers only")
        return value
    if isinstance(value, Enum):
        return plain(value.value, path)
    if isinstance(value, BaseModel):
        return plain({name: getattr(value, name) for name in type(value).model_fields}, path)
    if isinstance(value, Mapping):
        return {_key(key, path): plain(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{path}[{index}]") for index, item in enumerate(value)]
    raise Unstable(
        f"{path or 'value'} is a {type(value).__qualname__}, which has no stable serialisation: "
        "use numbers, strings, lists, tables or a settings class"
    )


def plain_without_unset(rule: BaseModel, *later: str) -> dict[str, Plain]:
    """The JSON form of a rule, without the fields `later` that are None: later releases added them,
    and unless the user sets them a digest stays the same."""
    fields = {name: getattr(rule, name) for name in type(rule).model_fields}
    return {
        name: plain(value, name)
        for name, value in fields.items()
        if not (name in later and value is None)
    }


def _key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise Unstable(f"{path} has the key {key!r}: keys of a table are strings")
    return key


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that determines the rows of a part."""

    stage: str
    version: int
    parameters: Mapping[str, Plain]
    inputs: Mapping[str, Sequence[str]]
    """Argument name to the content digests of the parts fed to it."""

    def as_json(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "version": self.version,
            "parameters": dict(self.parameters),
            "inputs": {name: list(digests) for name, digests in self.inputs.items()},
        }

    @property
    def key(self) -> str:
        """32 hex digits; independent of the order of the parameters."""
        return ids.digest(json.dumps(self.as_json(), sort_keys=True, allow_nan=False))
