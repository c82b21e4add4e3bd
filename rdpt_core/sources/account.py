"""The account of a source: what became of every value that a column was pointed at.

Each value of a role is used, missing, not understood, rejected with its row, or at odds with an
earlier one; the counts add up to the values that were read. So a column that was pointed at and
lost is a number, never a silence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size

from rdpt_core.files.records import SourceRow
from rdpt_core.tables.rows import Account, Reject
from rdpt_core.text.printable import printable

ROW, TRACE, PROBLEM = "rows", "traces", "problems"
"""What is counted beside the columns."""
_LONGEST = 60


class ValueNotes:
    """What became of the values of one row."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, Any]] = []
        """Role, what became of the value, and an example where that is worth one."""

    def used(self, role: str, value: Any) -> None:
        """Notes a value that is used, or missing where it is None."""
        self.entries.append((role, "missing" if value is None else "used", None))

    def rejected(self, *roles: str) -> None:
        """Notes values that go with something that cannot be used."""
        self.entries += [(role, "rejected", None) for role in roles]

    def odd(self, role: str, value: Any) -> None:
        """Notes a value that is not understood."""
        self.entries.append((role, "not understood", value))


class Ledger:
    """Counts while a source is read; `rows` are its account."""

    def __init__(self) -> None:
        self.columns: dict[str, str] = {}
        """Role to the column that it was pointed at; known once the source is open."""
        self._num: Counter[tuple[str, str]] = Counter()
        self._first: dict[tuple[str, str], str] = {}

    def count(self, role: str, became: str, value: Any = None, num: int = 1) -> None:
        """Notes what became of `num` values; the first one is kept as an example."""
        self._num[role, became] += num
        if value is not None:
            self._first.setdefault((role, became), _example(value))

    def add(self, notes: ValueNotes) -> None:
        """Counts a row that is used, and its values: nothing is missing where no column was pointed
        at, though a conversation may bring a system turn all the same."""
        self.count(ROW, "used")
        for role, became, value in notes.entries:
            if role in self.columns or became == "used":
                self.count(role, became, value)

    def rejected(self, reason: str) -> None:
        """Notes a row that cannot be used, with every value that it has."""
        self.count(ROW, "rejected", reason)
        for role in self.columns:
            self.count(role, "rejected")

    def rows(self, source: str) -> list[Account]:
        return [
            Account(
                source, role, became, self.columns.get(role), num, self._first.get((role, became))
            )
            for (role, became), num in sorted(self._num.items())
            if num
        ]


def _example(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = text[: 4 * _LONGEST].encode("utf-8", "replace").decode()
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def shortened(text: str, width: int) -> str:
    """Printable text that is at most `width` columns of a terminal wide."""
    shown = printable(text[: width + 1].replace("\n", r"\n"))
    if len(text) <= width and cell_len(shown) <= width:
        return shown
    return f"{set_cell_size(shown, width - 3).rstrip()}..."


def lines(rows: list[Account], width: int = 80) -> Iterator[str]:
    """An account as people read it: one line of totals, one for each column."""
    yield _totals({(row.role, row.became): row.num for row in rows})
    roles = {row.role for row in rows} - {ROW, TRACE, PROBLEM}
    for role in sorted(roles, key=lambda role: _place(_ROLES, role)):
        of_role = [row for row in rows if row.role == role]
        in_order = sorted(of_role, key=lambda row: _place(_BECAME, row.became))
        said = ", ".join(f"{row.num} {row.became}" for row in in_order)
        column = f"{of_role[0].column}: " if of_role[0].column else ""
        yield shortened(f"  {role:<10} {column}{said}", width)
        odd = [row for row in of_role if row.became not in ("used", "missing") and row.example]
        yield from (shortened(f"  {'':<10} {row.became}: {row.example}", width) for row in odd)
    reasons = [row for row in rows if row.role == ROW and row.became == "rejected"]
    yield from (shortened(f"  first reject: {row.example}", width) for row in reasons)


_ROLES = ("problem", "trace", "thought", "answer", "finish")
_BECAME = ("used", "missing", "not understood", "rejected")


def _place(order: Sequence[str], name: str) -> tuple[int, str]:
    """Known names in their order, others behind them by the alphabet."""
    return (order.index(name) if name in order else len(order), name)


def _totals(num: Mapping[tuple[str, str], int]) -> str:
    of_rows = {became: count for (role, became), count in num.items() if role == ROW}
    said = [f"{of_rows[key]} {key}" for key in sorted(of_rows, key=lambda k: _place(_BECAME, k))]
    made = [f"{role}: {num[role, 'used']}" for role in (TRACE, PROBLEM) if (role, "used") in num]
    return f"rows: {sum(of_rows.values())} ({', '.join(said) or 'none'})" + "".join(
        f", {one}" for one in made
    )


def reject(label: str, record: SourceRow, fault: str | None) -> Reject | None:
    return Reject(label, record.item, fault, record.raw, None) if fault else None


def replaced(record: SourceRow) -> str | None:
    """The note that keeps the bytes of a row that is used, but not as it was."""
    if not record.num_replaced:
        return None
    return f"used, with U+FFFD for {record.num_replaced} lone surrogates"
