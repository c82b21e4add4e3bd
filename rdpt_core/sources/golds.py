r"""Gold answers as they are found in cells: text, numbers, truth values, dates, lists, solutions.

One reader for all: what a run compares with is what `rdpt grade` compares with. A value is read, or
missing, or an error that says why it is not understood; nothing vanishes between.
"""

from __future__ import annotations

import datetime
import math
import re
from decimal import Decimal
from typing import Any


def gold_text(value: Any, column: str = "") -> str | None:
    r"""The gold in a cell as text; None where the cell is empty, NaN or only whitespace.

    Numbers are written exactly and without an exponent (1e-05 is `0.00001`), truth values as `True`
    and `False`, dates in ISO 8601, a flat list joined by commas. GSM8K's `... #### 1,234` is
    `1234`. In a column whose name ends in `solution` it is the last box, or a single word.

    Raises ValueError, saying what was found, for anything else.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        return _of_text(value.strip(), column)
    if isinstance(value, list | tuple):
        return _of_list(value, column)
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int | float | Decimal):
        return _of_number(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    raise ValueError(f"a {type(value).__name__}, where a gold is text, a number or a flat list")


def _of_list(value: list[Any] | tuple[Any, ...], column: str) -> str | None:
    if len(value) == 1:
        return gold_text(value[0], column)
    if any(isinstance(item, list | tuple | dict) for item in value):
        raise ValueError("a nested list, which may be a matrix, points or intervals")
    parts = [gold_text(item, column) for item in value]
    return ", ".join(part for part in parts if part) or None


def _of_number(value: float | Decimal) -> str:
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite():
        raise ValueError(f"{value}, which is not a finite number")
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _of_text(text: str, column: str) -> str | None:
    if "####" in text:
        marked = _THOUSANDS.sub("", text.rpartition("####")[2].strip())
        if not marked:
            raise ValueError("nothing behind the last ####")
        return marked
    if not column.lower().endswith("solution") or not text:
        return text or None
    boxed = last_boxed(text)
    if boxed is None and len(text.split()) > 1:
        raise ValueError("a solution without a box that can be read")
    return boxed or text


_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
_BARE = re.compile(r"[^\s{}\\$]+")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)


def last_boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{...}` or `\fbox{...}`, braces balanced.

    As people write it, whitespace may stand before the brace, or a bare number without braces. None
    where the last box is not closed or empty.
    """
    found = list(_BOX.finditer(text))
    if not found:
        return None
    start = found[-1].end()
    if not text.startswith("{", start):
        bare = _BARE.match(text, start)
        return (bare.group().rstrip(".,;:!?)") or None) if bare else None
    depth = 0
    for brace in _BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(brace.group(), 0)
        if depth == 0:
            return text[start + 1 : brace.start()].strip() or None
    return None
