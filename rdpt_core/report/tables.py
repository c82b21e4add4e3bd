"""Tables of text: aligned columns, in several blocks where a terminal is too narrow for one.

rich measures the cells. The layout is ours: rich's tables fold or cut cells that do not fit, which
makes numbers unreadable, and have no headings that span columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.cells import cell_len
from rich.text import Text

GAP = "  "
INTERVAL = "95%"
"""Heading of an interval, which stays next to its value."""


def aligned(
    lines: Sequence[tuple[str, ...]],
    width: int | None = None,
    styles: Mapping[str, str] | None = None,
) -> Text:
    """Columns padded to their widest cell; the headings come first. Where they are wider than
    `width`, blocks below each other, each of which begins with the first column. A line that has
    its first cell alone is a heading of those below, and may be longer than they are. Cells that
    are among `styles` get that style where there are colours."""
    full = [line for line in lines if any(line[1:])] or lines
    widths = [max(cell_len(line[i]) for line in full) for i in range(len(lines[0]))]
    blocks = [
        Text("\n").join(_block(lines, widths, shown, styles or {}))
        for shown in _blocks(lines[0], widths, width)
    ]
    return Text("\n\n").join(blocks)


def _block(
    lines: Sequence[tuple[str, ...]],
    widths: Sequence[int],
    shown: Sequence[int],
    styles: Mapping[str, str],
) -> Iterator[Text]:
    for number, line in enumerate(lines):
        row = Text()
        for i in shown:
            row.append(line[i], styles.get(line[i]))
            row.append(" " * (widths[i] - cell_len(line[i])) + GAP)
        row.rstrip()
        if number == 0 or not any(line[1:]):
            row.stylize("bold")
        yield row


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
