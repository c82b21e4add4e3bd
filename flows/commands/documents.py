"""What `--json` prints: one document on standard output, in which what is missing is null."""

from __future__ import annotations

import datetime
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any


def print_json(document: Mapping[str, Any]) -> None:
    sys.stdout.write(text_of(plain(document), indent=2) + "\n")


def text_of(value: Any, indent: int | None = None) -> str:
    """JSON; on a terminal no character beyond ASCII, so none that could act on it."""
    ascii_only = sys.stdout.isatty()
    return json.dumps(value, ensure_ascii=ascii_only, allow_nan=False, indent=indent)


def plain(value: Any) -> Any:
    """The value in JSON's types. JSON has no NaN and no infinity: they are null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, bool | int | float | str | None) else str(value)
