"""Tables of text: aligned columns that fit the terminal.

rich measures the cells. The layout is ours: rich's tables fold or cut cells that do not fit, which
makes numbers unreadable, and have no headings that span columns. There are two ways to fit. A table
whose columns are known says what may be shortened or left out (`fitted`); any other is broken into
blocks below each other (`aligned`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from rdpt_core.report.words import broken

GAP = "  "
INTERVAL = "95%"
"""Heading of an interval, which stays next to its value."""
NUMBER = re.compile(r"[-+~<>]? ?[\d,.]+( s| min| B| [kMG]B)?|~?\d+ h \d+ min|\[\S+ \S+\]|-|")
"""A number with its unit, an interval, or an empty cell; a column of them is aligned right."""
NARROWEST = 12
"""Columns that a name keeps, however narrow the terminal."""


class Ranged(NamedTuple):
    """A cell of two: a value and its interval, side by side or below each other."""

    value: str
    interval: str


Cell: TypeAlias = str | Ranged


@dataclass(frozen=True)
class TableColumn:
    """What a column is called, and what becomes of it where the terminal is narrow."""

    heading: str
    short: str = ""
    """Heading where there is no room for the other."""
    rank: int = 0
    """The column of the highest rank is left out first; one of rank 0 stays."""


@dataclass(frozen=True)
class Row:
    """A line of a table. One without cells separates those above from those below; one of a single
    cell is a heading of those below."""

    cells: tuple[Cell, ...] = ()
    style: str = ""

    def at(self, place: int) -> Cell:
        return self.cells[place] if place < len(self.cells) else ""


# ---------------------------------------------------------------------------- any table


def aligned(
    lines: Sequence[tuple[str, ...]],
    width: int | None = None,
    styles: Mapping[str, str] | None = None,
) -> Text:
    """Columns padded to their widest cell, numbers aligned right; the headings come first. Where
    they are wider than `width`, blocks below each other, each of which begins with the first
    column. A line that has its first cell alone is a heading of those below, and may be longer than
    they are. Cells that are among `styles` get that style where there are colours."""
    widths = _widths(lines)
    blocks = [
        Text("\n").join(_block(lines, widths, shown, styles or {}))
        for shown in _blocks(lines[0], widths, width)
    ]
    return Text("\n\n").join(blocks)


def _widths(lines: Sequence[tuple[str, ...]]) -> list[int]:
    full = [line for line in lines if any(line[1:])] or lines
    return [max(cell_len(line[i]) for line in full) for i in range(len(lines[0]))]


def _block(
    lines: Sequence[tuple[str, ...]],
    widths: Sequence[int],
    shown: Sequence[int],
    styles: Mapping[str, str],
    line_styles: Sequence[str] = (),
) -> Iterator[Text]:
    numbers = [all(NUMBER.fullmatch(line[i]) for line in lines[1:]) for i in range(len(widths))]
    for number, line in enumerate(lines):
        if any(line) and not any(line[i] for i in shown):
            continue  # it belongs to another block
        row = Text()
        for i in shown:
            space = " " * (widths[i] - cell_len(line[i]))
            before, after = (space, "") if i and numbers[i] else ("", space)
            row.append(before).append(line[i], styles.get(line[i])).append(after + GAP)
        row.rstrip()
        if number == 0 or not any(line[1:]):
            row.stylize("bold")
        if line_styles:
            row.stylize(line_styles[number])
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


# ---------------------------------------------------------------------------- known columns


def fitted(columns: Sequence[TableColumn], rows: Sequence[Row], width: int | None = None) -> Text:
    """The widest layout that fits. First headings become short; then intervals go below their
    values; then columns are left out, which a line below the table names."""
    kept = list(range(len(columns)))
    while True:
        for layout in _layouts(columns, rows, kept):
            if width is None or layout.width <= width:
                return layout.shown(width, _left_out(columns, kept))
        rank = max(columns[i].rank for i in kept)
        if not rank or width is None:
            return layout.cut(width or 0).shown(width, _left_out(columns, kept))
        kept.remove(next(i for i in reversed(kept) if columns[i].rank == rank))


@dataclass
class _Layout:
    """Lines of plain cells, headings first, with the style of each."""

    lines: list[tuple[str, ...]]
    styles: list[str]

    @property
    def width(self) -> int:
        widths = _widths(self.lines)
        return sum(widths) + len(GAP) * (len(widths) - 1)

    def cut(self, width: int) -> _Layout:
        """Names as long as the widest other column leaves them; what is still too wide becomes
        blocks."""
        first, *others = _widths(self.lines)
        room = max(width - max(others, default=0) - len(GAP), NARROWEST)
        lines = [(_shortened(line[0], room), *line[1:]) for line in self.lines]
        return self if first <= room else _Layout(lines, self.styles)

    def shown(self, width: int | None, below: str) -> Text:
        widths = _widths(self.lines)
        blocks = [
            Text("\n").join(_block(self.lines, widths, shown, {}, self.styles))
            for shown in _blocks(self.lines[0], widths, width)
        ]
        table = Text("\n\n").join(blocks)
        return table.append(f"\n{broken(below, width)}", "dim") if below and width else table


def _layouts(
    columns: Sequence[TableColumn], rows: Sequence[Row], kept: Sequence[int]
) -> Iterator[_Layout]:
    """Those of the columns that are kept, the widest first."""
    for lay in (_beside, _stacked):
        for headings in _headings([columns[i] for i in kept]):
            yield lay(headings, rows, kept)


def _headings(columns: Sequence[TableColumn]) -> Iterator[list[str]]:
    """All in full, then one after another shortened, the one that gains most first."""
    found = [column.heading for column in columns]
    yield list(found)
    gains = {i: cell_len(c.heading) - cell_len(c.short) for i, c in enumerate(columns) if c.short}
    for i in sorted(gains, key=lambda i: -gains[i]):
        found[i] = columns[i].short
        yield list(found)


def _beside(headings: Sequence[str], rows: Sequence[Row], kept: Sequence[int]) -> _Layout:
    """Intervals in columns of their own."""
    ranged = {i for i in kept if any(isinstance(row.at(i), Ranged) for row in rows)}
    lines = [_flat((Ranged(h, INTERVAL) for h in headings), kept, ranged)]
    lines += [_flat(map(row.at, kept), kept, ranged) for row in rows]
    return _Layout(lines, ["bold", *(row.style for row in rows)])


def _flat(cells: Iterable[Cell], kept: Sequence[int], ranged: set[int]) -> tuple[str, ...]:
    found: list[str] = []
    for i, cell in zip(kept, cells, strict=True):
        value, interval = cell if isinstance(cell, Ranged) else (cell, "")
        found += [value, interval] if i in ranged else [value]
    return tuple(found)


def _stacked(headings: Sequence[str], rows: Sequence[Row], kept: Sequence[int]) -> _Layout:
    """Intervals below their values."""
    lines, styles = [tuple(headings)], ["bold"]
    for row in rows:
        cells = [c if isinstance(c, Ranged) else Ranged(c, "") for c in map(row.at, kept)]
        lines.append(tuple(cell.value for cell in cells))
        styles.append(row.style)
        if any(cell.interval for cell in cells):
            lines.append(("", *(cell.interval for cell in cells[1:])))
            styles.append("dim")
    return _Layout(lines, styles)


def _left_out(columns: Sequence[TableColumn], kept: Sequence[int]) -> str:
    names = [column.heading for i, column in enumerate(columns) if i not in kept]
    return f"(too wide here: {', '.join(names)})" if names else ""


def _shortened(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, width - 3) + "..."
