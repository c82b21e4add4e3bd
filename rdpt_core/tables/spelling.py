"""Suggestions for misspelt names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The most similar known name; None if none is similar. A `cutoff` of 1 means equality."""
    return next(iter(difflib.get_close_matches(name, list(known), 1, cutoff)), None)


def hint(name: str, known: Iterable[str]) -> str:
    """`did you mean teacher_count? `, or nothing."""
    near = nearest(name, known)
    return f"did you mean {near}? " if near else ""
