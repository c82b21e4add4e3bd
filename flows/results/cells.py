"""Numbers of `results` as the cells of a table that people read."""

from __future__ import annotations

from rdpt_core.report.tables import Cell, Ranged
from rdpt_core.tables.rows import Result


def share(row: Result | None, digits: int = 3) -> str:
    return "-" if row is None or row.value is None else f"{row.value:.{digits}f}"


def points(row: Result | None) -> str:
    """Percentage points; none is negative that is shown as 0."""
    return "-" if row is None or row.value is None else f"{round(100 * row.value, 1) + 0.0:+.1f}"


def interval(row: Result | None) -> str:
    if row is None or row.low is None or row.high is None:
        return "-"
    return f"[{row.low:.3f}, {row.high:.3f}]"


def points_interval(row: Result | None) -> str:
    if row is None or row.low is None or row.high is None:
        return "-"
    return f"[{100 * row.low:+.1f}, {100 * row.high:+.1f}]"


def ranged_share(row: Result | None) -> Cell:
    """With its interval, if it has one."""
    return share(row) if row is None or row.low is None else Ranged(share(row), interval(row))


def ranged_points(row: Result | None) -> Cell:
    has_none = row is None or row.low is None
    return points(row) if has_none else Ranged(points(row), points_interval(row))


def count(row: Result | None, sign: str = "") -> str:
    return "-" if row is None or row.value is None else f"{round(row.value):{sign},d}"


def count_interval(row: Result) -> str:
    if row.low is None or row.high is None:
        return "-"
    return f"[{round(row.low):+,d}, {round(row.high):+,d}]"


class Footnotes:
    """Notes below a table, each once; a cell names them by number."""

    def __init__(self) -> None:
        self._notes: list[str] = []

    def mark(self, row: Result) -> str:
        """`(1, 3)`; empty for a row without a note."""
        own = row.note.split("; ") if row.note else []
        self._notes += [note for note in own if note not in self._notes]
        numbers = ", ".join(str(self._notes.index(note) + 1) for note in own)
        return f"({numbers})" if own else ""

    def text(self) -> str:
        return "".join(f"({number}) {note}\n" for number, note in enumerate(self._notes, start=1))
