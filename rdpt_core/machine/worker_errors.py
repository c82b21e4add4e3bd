"""How an error of a worker reaches the process that started it, so that its class survives.

It travels as one line of JSON over the worker's standard output: on a full disk no file could hold
it. The class is chosen from a closed list; nothing is unpickled. The class decides the exit code of
the command, and whether smaller batches are worth a try.
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
"""Characters of a message: a line below 4,096 bytes is written at once, and so never mixes with
that of another process."""


def fault_line(error: BaseException) -> str:
    """One line, without its end, that `fault_of` and `raised` read."""
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
    """The error that a line holds; `what` failed and `where` more is found are told with it.

    A class that is not on the list is a RuntimeError.
    """
    if fault["kind"] == "NoRoom":
        return NoRoom(fault["place"], fault["needed"], fault["free"])
    return _CLASSES.get(fault["kind"], RuntimeError)(f"{what}: {fault['message']}{where}")
