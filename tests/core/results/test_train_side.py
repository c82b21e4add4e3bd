"""The rows of the training side, from candidates, picks and steps."""

from __future__ import annotations

import pytest

from rdpt_core.results.train_side import pool_results, selection_results, training_results
from rdpt_core.selection.candidates import CandidateRecord
from rdpt_core.selection.picks import Selector, select
from rdpt_core.tables.rows import TrainingStep
from tests.core.results.graded_questions import by_metric

RECORDS = [
    CandidateRecord("q1", "a", "eligible", 30, 10, 0, 5, 0),
    CandidateRecord("q1", "b", "eligible", 20, 6, 0, 6, 0),
    CandidateRecord("q2", "c", "eligible", 40, 12, 0, 3, 1),
    CandidateRecord("q2", "d", "wrong", 50, 12, 8, 2, 1),
]


def test_the_pool_in_numbers() -> None:
    rows = by_metric(pool_results("c1", "pocket", RECORDS))
    assert rows["pool/num_candidates"].value == 4
    assert rows["pool/num_questions"].value == 2
    assert rows["pool/share/eligible"].value == 0.75
    assert rows["pool/share/wrong"].value == 0.25
    assert rows["pool/teacher_share"].value == pytest.approx(16 / 40)
    assert rows["pool/missing"].value == pytest.approx(8 / 48)
    longest = rows["pool/longest_is_most_teacher"]
    assert (longest.value, longest.n) == (0.0, 1)
    assert {(row.side, row.benchmark) for row in rows.values()} == {("train", "pocket")}


def test_an_arm_in_numbers() -> None:
    selector = Selector(name="teacher_count")
    picks = select(RECORDS, selector, 0)
    rows = by_metric(selection_results("c1", "pocket", RECORDS, picks, selector, 0))
    assert rows["tokens"].value == 60
    assert rows["selection/num_examples"].value == 2
    assert rows["selection/tie_rate"].value == 0
    assert rows["selection/overlap_longest"].value == 0.5
    assert rows["selection/teacher_share"].value == 0.5
    assert "selection/token_gap" not in rows
    matched = Selector(name="random", match_tokens="longest")
    rows = by_metric(selection_results("c1", "p", RECORDS, picks, matched, 0, None, 70))
    assert (rows["selection/token_gap"].note or "").startswith("not within 1%")


def test_an_empty_train_side_has_rows_without_values() -> None:
    selector = Selector(name="longest")
    rows = by_metric(pool_results("c", "p", []))
    assert rows["pool/teacher_share"].value is None
    rows = by_metric(selection_results("c", "p", [], [], selector, 0))
    assert rows["selection/teacher_share"].value is None
    assert by_metric(training_results("c", "p", []))["students/last_loss"].value is None


def test_training_reports_its_last_step() -> None:
    steps = [
        TrainingStep("s", 2, 1.5, 1e-4, None, 900, 700, 450, None),
        TrainingStep("s", 1, 2.5, 1e-4, None, 450, 500, 450, None),
    ]
    rows = by_metric(training_results("c", "p", steps))
    assert (rows["students/tokens_seen"].value, rows["students/tokens_seen"].n) == (900, 2)
    assert rows["students/last_loss"].value == 1.5
    assert rows["students/fed_per_step"].value == 600
    assert rows["students/trained_per_step"].value == 450
    assert "students/last_held_out_loss" not in rows
    steps.append(TrainingStep("s", 3, 1.4, 1e-4, None, 999, 99, 99, 1.25))
    held_out = by_metric(training_results("c", "p", steps))["students/last_held_out_loss"]
    assert (held_out.value, held_out.n) == (1.25, 1)
