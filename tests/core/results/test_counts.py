"""Counts per question add up over parts, and hold what the rows say."""

from __future__ import annotations

from rdpt_core.provenance.labels import LabelRule
from rdpt_core.results.counts import class_counts, mean_correct, merged, outcome_counts, solved
from rdpt_core.tables.rows import Label
from tests.core.results.graded_questions import (
    GRADED,
    SENTENCES,
    C,
    Graded,
    T,
    U,
    W,
    counted,
    outcome_of,
    problem_of,
    sentence,
)


def test_a_trace_without_a_grade_is_ungraded_and_counts_in_no_accuracy() -> None:
    graded: Graded = {"a": (C, W, U), "b": (U,), "c": (T, C)}
    counts = counted(graded)
    assert {q: int(row.sum()) for q, row in counts.items()} == {"a": 3, "b": 1, "c": 2}
    assert mean_correct(counts) == {"a": 0.5, "c": 0.5}
    assert (outcome_counts({"b0": "b"}, [])["b"] == counts["b"]).all()


def test_a_question_is_solved_by_more_than_half_of_its_traces() -> None:
    assert solved(counted({"half": (C, W), "most": (C, C, W), "none": (T,)})) == {
        "half": False,
        "most": True,
        "none": False,
    }


def test_parts_add_up_in_any_cut() -> None:
    problems, outcomes = problem_of(GRADED), outcome_of(GRADED)
    whole = class_counts(problems, outcomes, SENTENCES)
    pieces = merged(class_counts(problems, outcomes, [row]) for row in reversed(SENTENCES))
    assert whole.keys() == pieces.keys()
    assert all((whole[q] == pieces[q]).all() for q in whole)


def test_three_way_labels_do_not_need_those_of_the_rows() -> None:
    # beta below alpha: four-way Shared, three-way Teacher.
    rows = [sentence("a0", 0, Label.SHARED, 0.08)]
    counts = class_counts({"a0": "a"}, {}, rows, LabelRule(beta=0.05))
    assert counts["a"].sum(axis=0).tolist() == [1, 0, 0, 0, 0, 0]
