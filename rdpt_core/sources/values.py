"""The value of a column of a row, or at a path into it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from rdpt_core.files.records import Values


def value_at(values: Values, column: str | None) -> Any:
    """The value of a column, or at a path into it such as `reward_model.ground_truth`.

    A path may lead through text that is a JSON object. None where the value is missing, or NaN,
    which is what data frames write for it.
    """
    found = _found_at(values, column)
    return None if isinstance(found, float) and math.isnan(found) else found


def _found_at(values: Values, column: str | None) -> Any:
    if column is None or column in values:
        return values.get(column) if column else None
    at: Any = values
    for step in column.split("."):
        at = unpacked(at)
        if isinstance(at, Mapping):
            at = at.get(step)
        elif isinstance(at, list) and step.isdecimal() and int(step) < len(at):
            at = at[int(step)]
        else:
            return None
    return at


def unpacked(value: Any) -> Any:
    """What text holds that is a JSON object or array, as some sets store nested values; anything
    else as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
