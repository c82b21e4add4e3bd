"""The queries of docs/scoring.md, run as they stand there on rows that are planted.

They are the guards of traps that no table answers by itself; traps are named as on that page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from rdpt_core import columns
from rdpt_core.rows import Label, Problem, Provenance, SentenceScore


def query(root: Path, trap: str, tables: Iterable[tuple[type, Sequence[Any]]]) -> list[Any]:
    """The first block of SQL behind the heading of a trap, over these tables."""
    page = (root / "docs" / "scoring.md").read_text(encoding="utf-8")
    found = re.search(rf"\*\*{trap}\*\*.*?```sql\n(.*?)```", page, re.DOTALL)
    assert found, f"docs/scoring.md has no query for {trap}"
    with duckdb.connect() as connection:
        for row, rows in tables:
            connection.register("rows", columns.to_arrow(row, rows))
            side = "split" if row is Problem else "'test'"  # as the views of a configuration do
            connection.execute(
                f"CREATE TABLE {row.TABLE} AS SELECT {side} AS side, * FROM rows"  # type: ignore[attr-defined]
            )
        return connection.execute(found.group(1)).fetchall()


def scored(trace_id: str, position: int, first: float, *rest: float) -> SentenceScore:
    logprobs = (first, *rest)
    return SentenceScore(
        trace_id, position, "m", sum(logprobs), len(logprobs), 9, first, None, None
    )


def labelled(trace_id: str, position: int, teacher: float, student: float) -> Provenance:
    label = Label.TEACHER if teacher - student > 0.1 else Label.COMMON
    return Provenance(trace_id, position, label, None, 0.1, teacher, student, None, None)


def test_t23_gaps_of_logarithms_stand_beside_those_of_probabilities(root: Path) -> None:
    rows = [labelled("a", 0, 0.99, 0.9), labelled("a", 1, 0.99, 0.9), labelled("a", 2, 0.5, 0.1)]
    found = query(root, "T23", [(Provenance, rows)])
    assert [row[:2] for row in found] == [("common", 2), ("teacher", 1)]
    assert found[0][2:] == pytest.approx((0.09, 0.0953), abs=1e-3)
    assert found[1][2:] == pytest.approx((0.4, 1.609), abs=1e-3)


def test_t33c_without_first_tokens_long_sentences_are_no_more_probable(root: Path) -> None:
    """Every first token costs 4 nats and every other 0.1, so length alone lifts the mean."""
    rows = [scored("a", i, -4.0, *[-0.1] * more) for i, more in enumerate((2, 6, 30, 60))]
    found = query(root, "T33c", [(SentenceScore, [*rows, scored("a", 9, -4.0)])])
    with_first, without = ([row[at] for row in found] for at in (3, 4))
    assert sum(row[2] for row in found) == len(rows), "one token has none after the first"
    assert with_first == sorted(with_first)
    assert with_first[-1] > 2 * with_first[0]
    assert without == pytest.approx([without[0]] * len(without))


def test_t35_shares_by_relative_position_do_not_mind_length(root: Path) -> None:
    """The last half of each trace is the teacher's, however long it is."""
    rows = [labelled(f"t{size}", at, 0.9 if 2 * at >= size else 0.1, 0.1)
            for size in (20, 200) for at in range(size)]  # fmt: skip
    found = query(root, "T35", [(Provenance, rows)])
    assert [row[0] for row in found] == list(range(10))
    assert [row[1] for row in found] == [2] * 10
    assert [row[2] for row in found] == [0.0] * 5 + [1.0] * 5


def test_t38_problems_that_are_on_both_sides_are_found(root: Path) -> None:
    def problem(number: int, split: str, prompt: str) -> Problem:
        return Problem(f"{split}-{number}", split, split, "", prompt, "1")

    train = [problem(0, "train", "How  many apples?\n"), problem(1, "train", "How many pears?")]
    test = [problem(0, "test", "how many APPLES"), problem(1, "test", "How many plums?")]
    found = query(root, "T38", [(Problem, [*train, *test])])
    assert found == [("test-0", "train-0")]
