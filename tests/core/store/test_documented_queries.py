"""The queries of docs/scoring.md, run as they stand there on rows that are planted.

They are the guards of traps that no table answers by itself; traps are named as on that page.
"""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from rdpt_core.store import catalog
from rdpt_core.tables import columns
from rdpt_core.tables.rows import (
    Label,
    Problem,
    Provenance,
    ScoreSource,
    ScoreStatus,
    Sentence,
    SentenceScore,
    TokenScores,
    ZoneKind,
)


class Planted(NamedTuple):
    """Rows of a table, with what the views of a configuration add."""

    row: type
    rows: Sequence[Any]
    schema: str = "main"
    role: str = "teacher"

    def insert(self, connection: duckdb.DuckDBPyConnection) -> None:
        side = "split" if self.row is Problem else "'test'"
        table = f"{self.schema}.{self.row.TABLE}"  # type: ignore[attr-defined]
        with tempfile.NamedTemporaryFile(suffix=".parquet") as file:  # of float16, as in the store
            pq.write_table(columns.to_arrow(self.row, self.rows), file.name)
            chosen = f"SELECT {side} AS side, '{self.role}' AS role, * FROM '{file.name}'"
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {self.schema}")
            connection.execute(f"CREATE TABLE IF NOT EXISTS {table} AS {chosen} LIMIT 0")
            connection.execute(f"INSERT INTO {table} {chosen}")


@dataclass(frozen=True)
class Made:
    """Parts in the catalogue's own table, each used by two configurations: table, part, scorer, and
    how each was made."""

    parts: Sequence[tuple[str, str, str | None, dict[str, Any]]]

    def insert(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(catalog.TABLES)
        for configuration, (table, part, scorer, made) in product("ab", self.parts):
            values: list[Any] = [configuration, "test", "b", table, part, None, scorer, 1, 1.0]
            values += [json.dumps(made), [0]]
            connection.execute(f"INSERT INTO parts VALUES ({', '.join('?' * 11)})", values)


def query(root: Path, trap: str, tables: Iterable[Planted | Made]) -> list[Any]:
    """The first block of SQL behind the heading of a trap, over these tables."""
    page = (root / "docs" / "scoring.md").read_text(encoding="utf-8")
    found = re.search(rf"\*\*{trap}\*\*.*?```sql\n(.*?)```", page, re.DOTALL)
    assert found, f"docs/scoring.md has no query for {trap}"
    with duckdb.connect() as connection:
        for table in tables:
            table.insert(connection)
        return connection.execute(found.group(1)).fetchall()


def scored(trace_id: str, position: int, first: float, *rest: float) -> SentenceScore:
    logprobs = (first, *rest)
    return SentenceScore(
        trace_id, position, "m", sum(logprobs), len(logprobs), 9, first, None, None
    )


def labelled(trace_id: str, position: int, teacher: float, student: float) -> Provenance:
    label = Label.TEACHER if teacher - student > 0.1 else Label.COMMON
    return Provenance(trace_id, position, label, None, 0.1, teacher, student, None, None)


def tokens(scorer: str, *widths_and_logprobs: tuple[int, float]) -> TokenScores:
    widths, logprobs = (np.array(column) for column in zip(*widths_and_logprobs, strict=True))
    none = np.zeros(len(widths), np.float16)
    return TokenScores(
        "a",
        scorer,
        ScoreStatus.OK,
        int(widths.sum()),
        True,
        True,
        False,
        ScoreSource.FORWARD,
        1.0,
        None,
        None,
        0,
        None,
        widths.astype(np.uint8),
        logprobs.astype(np.float32),
        np.ones(len(widths), np.uint32),
        none,
        none,
        None,
        None,
    )


def test_t13_tokens_across_sentences_are_counted_with_their_mass(root: Path) -> None:
    """Sentences of 4, 3 and 5 bytes; a tag's entry has no number and counts nowhere."""
    cuts = [(0, 4), (4, 7), (7, 12)]
    rows = [Sentence("a", n, *cut, ZoneKind.ANSWER) for n, cut in enumerate(cuts)]
    neat = tokens("neat", (4, -1.0), (3, -1.0), (5, math.nan))
    rough = tokens("rough", (3, -1.0), (2, -3.0), (2, -1.0), (5, -1.0))
    widest = tokens("widest", (2, -1.0), (8, -4.0), (2, -3.0))
    found = query(
        root, "T13", [Planted(Sentence, rows), Planted(TokenScores, [neat, rough, widest])]
    )
    assert found == [("neat", 2, 0.0, 0.0), ("rough", 4, 0.25, 0.5), ("widest", 3, 1 / 3, 0.5)]


def test_t17_texts_that_were_sampled_otherwise_are_counted(root: Path) -> None:
    made = [
        ("scores", "a", "t", {"sampled_ids_known": 3, "sampled_ids_differ": 1, "errors": 2}),
        ("scores", "b", "t", {"sampled_ids_known": 4, "sampled_ids_differ": 0}),
        ("scores", "c", "s", {"quoting_control_tokens": 5, "merging_with_prompt": 2}),
        ("traces", "d", None, {"errors": 1}),
        ("grades", "e", None, {"errors": 9}),
    ]
    found = query(root, "T17", [Made(made)])
    assert found == [
        ("scores", "s", 1, None, None, 5, 2, None),
        ("scores", "t", 2, 7, 1, None, None, 2),
        ("traces", None, 1, None, None, None, None, 1),
    ]


def test_t24_labels_of_a_packed_teacher_agree_beyond_chance(root: Path) -> None:
    """9 of 10 alike, 5 and 6 of them Teacher: by hand (.9 - .5) / (1 - .5)."""
    whole = [labelled("a", n, 0.9 if n < 5 else 0.1, 0.1) for n in range(10)]
    packed = [labelled("a", n, 0.9 if n < 6 else 0.1, 0.1) for n in range(10)]
    nothing = Provenance("b", 0, None, None, None, None, None, None, "error")
    found = query(
        root,
        "T24",
        [
            Planted(Provenance, [*whole, nothing], "study_teacher_count_whole"),
            Planted(Provenance, [*packed, nothing], "study_teacher_count_packed"),
        ],
    )
    assert found == [(10, 0.9, pytest.approx(0.8))]


def test_t37_classes_by_tokens_and_by_bytes_agree_beyond_chance(root: Path) -> None:
    """Two of four sentences pass 0.1 by tokens. By bytes the two largest gaps are that of `a`,
    again the teacher's, and that of `d`, which has more bytes a token than `b`."""

    def scores(role: str, probabilities: Sequence[float]) -> Planted:
        sizes = [(2, 4), (1, 100), (2, 4), (2, 2)]
        rows = [
            SentenceScore(
                name, 0, role, num_tokens * math.log(p), num_tokens, num_bytes, None, None, None
            )
            for name, p, (num_tokens, num_bytes) in zip("abcd", probabilities, sizes, strict=True)
        ]
        return Planted(SentenceScore, rows, role=role)

    teacher, student = (
        scores("teacher", (0.9, 0.3, 0.5, 0.5)),
        scores("student", (0.1, 0.5, 0.49, 0.45)),
    )
    found = query(root, "T37", [teacher, student])
    assert found == [(4, 0.5, pytest.approx((0.5 - 0.375) / 0.625))]


def test_t23_gaps_of_logarithms_stand_beside_those_of_probabilities(root: Path) -> None:
    rows = [labelled("a", 0, 0.99, 0.9), labelled("a", 1, 0.99, 0.9), labelled("a", 2, 0.5, 0.1)]
    found = query(root, "T23", [Planted(Provenance, rows)])
    assert [row[:2] for row in found] == [("common", 2), ("teacher", 1)]
    assert found[0][2:] == pytest.approx((0.09, 0.0953), abs=1e-3)
    assert found[1][2:] == pytest.approx((0.4, 1.609), abs=1e-3)


def test_t33c_without_first_tokens_long_sentences_are_no_more_probable(root: Path) -> None:
    """Every first token costs 4 nats and every other 0.1, so length alone lifts the mean."""
    rows = [scored("a", i, -4.0, *[-0.1] * more) for i, more in enumerate((2, 6, 30, 60))]
    found = query(root, "T33c", [Planted(SentenceScore, [*rows, scored("a", 9, -4.0)])])
    with_first, without = ([row[at] for row in found] for at in (3, 4))
    assert sum(row[2] for row in found) == len(rows), "one token has none after the first"
    assert with_first == sorted(with_first)
    assert with_first[-1] > 2 * with_first[0]
    assert without == pytest.approx([without[0]] * len(without))


def test_t35_shares_by_relative_position_do_not_mind_length(root: Path) -> None:
    """The last half of each trace is the teacher's, however long it is."""
    rows = [
        labelled(f"t{size}", at, 0.9 if 2 * at >= size else 0.1, 0.1)
        for size in (20, 200)
        for at in range(size)
    ]
    found = query(root, "T35", [Planted(Provenance, rows)])
    assert [row[0] for row in found] == list(range(10))
    assert [row[1] for row in found] == [2] * 10
    assert [row[2] for row in found] == [0.0] * 5 + [1.0] * 5


def test_t38_problems_that_are_on_both_sides_are_found(root: Path) -> None:
    def problem(number: int, split: str, prompt: str) -> Problem:
        return Problem(f"{split}-{number}", split, split, "", prompt, "1")

    train = [problem(0, "train", "How  many apples?\n"), problem(1, "train", "How many pears?")]
    test = [problem(0, "test", "how many APPLES"), problem(1, "test", "How many plums?")]
    found = query(root, "T38", [Planted(Problem, [*train, *test])])
    assert found == [("test-0", "train-0")]
