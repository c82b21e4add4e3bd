"""How a worker's error reaches the process that started it, with its class.

It is one line of JSON on the worker's standard output: a full disk could not hold a file. The class
is chosen from a closed list; nothing is unpickled. The class decides the exit code of the command,
and whether to retry with smaller batches.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rdpt_core.machine.resources import NoRoom, OutOfMemory

FAULT = "fault"
"""Key of the line's only value."""

_CLASSES: dict[str, type[Exception]] = {
    kind.__name__: kind for kind in (OutOfMemory, MemoryError, ConnectionError, ValueError)
}
_LONGEST = 600
"""Characters of a message: a line below 4,096 bytes is written atomically, and so never mixes with
that of another process."""


def fault_line(error: BaseException) -> str:
    """One line, without a line end, that `fault_of` and `raised` parse."""
    if isinstance(error, NoRoom):
        fault = {
            "kind": "NoRoom",
            "place": error.filename,
            "needed": error.needed,
            "free": error.free,
        }
    else:
        kind = next((n for n, known in _CLASSES.items() if isinstance(error, known)), "")
        fault = {"kind": kind, "message": (str(error) or type(error).__name__)[:_LONGEST]}
    return json.dumps({FAULT: fault}, ensure_ascii=False)


def raised(fault: Mapping[str, Any], what: str, where: str = "") -> Exception:
    """The error of a line; its message says `what` failed and `where` to find more.

    A class that is not on the list becomes a RuntimeError.
    """
    if fault["kind"] == "NoRoom":
        return NoRoom(fault["place"], fault["needed"], fault["free"])
    return _CLASSES.get(fault["kind"], RuntimeError)(f"{what}: {fault['message']}{where}")
