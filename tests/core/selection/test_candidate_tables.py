"""Candidates out of somebody's table of sentences: the two forms, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest

from rdpt_core.files.reading import TableReader, to_batch
from rdpt_core.files.records import BadTable
from rdpt_core.provenance.labels import LabelRule
from rdpt_core.selection.candidate_tables import NEEDS, Scorers, read_candidates
from rdpt_core.selection.selectors import SELECTORS

RULE = LabelRule(beta=0.1)
NAMES = ("problem_id", "trace_id", "position", "num_tokens", "p_teacher", "p_student")
ROWS: list[dict[str, Any]] = [
    dict(zip(NAMES, row, strict=True))
    for row in (
        ("p", "a", 0, 4, 0.9, 0.3),
        ("p", "a", 1, 2, 0.5, 0.5),
        ("p", "b", 0, 3, 0.2, 0.6),
    )
]


class InMemory(TableReader):
    """Rows in two batches."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        super().__init__("rows", list(rows[0]))
        self._rows = rows

    def batches(self, columns: Any = None) -> Any:
        names = [name for name in self.names if columns is None or name in columns]
        for some in (self._rows[:1], self._rows[1:]):
            yield to_batch(some, names)


def found(rows: list[dict[str, Any]], *wanted: str, scorers: Scorers | None = None) -> Any:
    return read_candidates(InMemory(rows), wanted, RULE, scorers)


def test_the_needs_of_every_selector_are_known() -> None:
    assert NEEDS.keys() == SELECTORS.keys()


def test_sentences_are_counted_per_candidate_in_order_of_appearance() -> None:
    a, b = found(ROWS, "label")
    assert (a.trace_id, a.num_sentences, a.num_teacher, a.num_tokens) == ("a", 2, 1, 6)
    assert (b.trace_id, b.num_sentences, b.num_teacher, b.num_tokens) == ("b", 1, 0, 3)
    assert a.eligible
    assert b.eligible


def test_a_label_of_the_table_is_taken_as_it_stands() -> None:
    labels = ("student", "teacher", "teacher")
    rows = [row | {"label": label} for row, label in zip(ROWS, labels, strict=True)]
    assert [one.num_teacher for one in found(rows, "label")] == [1, 1]


def test_rows_of_sentence_scores_say_the_same() -> None:
    rows = [
        {key: row[key] for key in ("problem_id", "trace_id", "position", "num_tokens")}
        | {"scorer": scorer, "logprob": row["num_tokens"] * math.log(row[p])}
        for scorer, p in (("t", "p_teacher"), ("s", "p_student"))
        for row in ROWS
    ]
    counts = [
        [(one.num_teacher, one.num_tokens) for one in candidates]
        for candidates in (found(rows, "label", scorers=Scorers("s", "t")), found(ROWS, "label"))
    ]
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p_teacher": 1.5}, "row 1: p_teacher 1.5 is not a probability"),
        ({"num_tokens": -1}, "row 1: num_tokens -1"),
        ({"trace_id": "b"}, "sentence 0 of trace b is there twice"),
    ],
)
def test_a_value_out_of_bounds_and_a_sentence_twice_are_named(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadTable, match=message):
        found([ROWS[0] | change, *ROWS[1:]], "label")


def test_a_missing_column_is_named_with_those_that_are_there() -> None:
    rows = [{key: value for key, value in row.items() if key != "p_student"} for row in ROWS]
    with pytest.raises(BadTable, match="no column p_student"):
        found(rows, "label")


def test_a_column_of_arrow_text_is_read_as_numbers() -> None:
    rows = [row | {"p_teacher": str(row["p_teacher"])} for row in ROWS]
    assert pa.types.is_string(to_batch(rows, ["p_teacher"]).schema.field(0).type)
    assert [one.num_teacher for one in found(rows, "label")] == [1, 0]
