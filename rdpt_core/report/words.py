"""Words around numbers."""

from __future__ import annotations

from collections.abc import Iterable


def counted(things: Iterable[object], noun: str) -> str:
    """Such as "1 part" and "2 parts"."""
    number = sum(1 for _ in things)
    return f"{number} {noun}{'' if number == 1 else 's'}"
