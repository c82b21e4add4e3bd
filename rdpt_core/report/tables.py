"""Tables of text: aligned columns, in several blocks where a terminal is too narrow for one."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence

GAP = "  "
INTERVAL = "95%"
"""Heading of an interval, which stays next to its value."""


def terminal_width() -> int | None:
    """Columns of the terminal that stdout goes to; None for a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def aligned(lines: Sequence[tuple[str, ...]], width: int | None = None) -> str:
    """Columns padded to their widest cell; the headings come first. Where they are wider than
    `width`, blocks below each other, each of which begins with the first column. A line that has
    its first cell alone is a heading of those below, and may be longer than they are."""
    full = [line for line in lines if any(line[1:])] or lines
    widths = [max(len(line[i]) for line in full) for i in range(len(lines[0]))]
    return "\n".join(_block(lines, widths, shown) for shown in _blocks(lines[0], widths, width))


def _block(lines: Sequence[tuple[str, ...]], widths: Sequence[int], shown: Sequence[int]) -> str:
    rows = (GAP.join(line[i].ljust(widths[i]) for i in shown).rstrip() for line in lines)
    return "".join(f"{row}\n" for row in rows)


def _blocks(
    headings: Sequence[str], widths: Sequence[int], width: int | None
) -> Iterator[list[int]]:
    """Numbers of the columns of each block."""
    shown = [0]
    for together in _kept_together(headings):
        needed = sum(widths[i] + len(GAP) for i in (*shown, *together)) - len(GAP)
        if width is not None and needed > width and len(shown) > 1:
            yield shown
            shown = [0]
        shown += together
    yield shown


def _kept_together(headings: Sequence[str]) -> list[list[int]]:
    """All columns but the first; an interval with its value."""
    groups: list[list[int]] = []
    for i, heading in enumerate(headings[1:], start=1):
        if heading == INTERVAL and groups:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups
