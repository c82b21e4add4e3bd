"""Lines of words for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable


def counted(things: Iterable[object], noun: str) -> str:
    """Such as "1 part" and "2 parts"."""
    number = sum(1 for _ in things)
    return f"{number} {noun}{'' if number == 1 else 's'}"


def broken(line: str, width: int) -> str:
    """The line in several of at most `width` columns, broken between words; what follows is
    indented twice as far. A longer word is left as it is, as an address needs it."""
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(
        line,
        width,
        subsequent_indent=indent * 2,
        break_long_words=False,
        break_on_hyphens=False,
    )
