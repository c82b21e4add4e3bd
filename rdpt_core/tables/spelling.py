"""What somebody may have meant who misspelt a name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The most similar of the known names; None where none is alike. `cutoff` of 1 is equality."""
    return next(iter(difflib.get_close_matches(name, list(known), 1, cutoff)), None)


def hint(name: str, known: Iterable[str]) -> str:
    """`did you mean teacher_count? `, or nothing."""
    near = nearest(name, known)
    return f"did you mean {near}? " if near else ""
