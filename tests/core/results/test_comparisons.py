"""Two arms compared."""

from __future__ import annotations

from dataclasses import replace

from rdpt_core.provenance.labels import FOUR_WAY
from rdpt_core.results.comparisons import (
    Answered,
    arm_results,
    comparison_results,
    tokens_difference,
)
from rdpt_core.results.counts import outcome_counts
from rdpt_core.statistics.effects import CONSERVATIVE
from rdpt_core.tables.rows import Label
from tests.core.results.graded_questions import GRADED, answered, by_metric, grades, problem_of


def test_arms_with_one_seed_are_compared_on_their_checkpoints() -> None:
    arm = outcome_counts(problem_of(GRADED), grades(GRADED))
    rows = by_metric(comparison_results("c1", "gsm", "random", [Answered(arm)], [Answered(arm)]))
    row = rows["grades/difference/random"]
    assert row.value == 0
    assert row.low is not None
    assert row.low < 0, "of four questions that look alike"
    assert row.note == f"{CONSERVATIVE}; one seed: conditional on this checkpoint"
    assert "grades/detectable_difference/random" in rows
    assert len(rows) == 2


def test_the_shares_of_two_arms_differ_by_what_was_planted() -> None:
    """Questions of 4 sentences, of which the arm has 3 of the teacher, the other 1; one question
    was answered without any sentence."""
    arm, other = (answered({"q1": n, "q2": n, "q3": 0}) for n in (3, 1))
    rows = by_metric(comparison_results("c1", "gsm", "random", [arm], [other]))
    found = {name: rows[f"provenance/difference/{name}/random"] for name in FOUR_WAY}
    assert {name: row.value for name, row in found.items()} == {
        Label.TEACHER: 0.5,
        Label.SHARED: 0,
        Label.BOOSTED: 0,
        Label.STUDENT: -0.5,
    }
    assert {row.n for row in found.values()} == {2}, "the third question has no sentence anywhere"


def test_arms_are_not_compared_by_what_somebody_else_answered() -> None:
    arm = answered({"q1": 1, "q2": 2})
    rows = by_metric(comparison_results("c1", "gsm", "random", [arm], [arm], own_answers=False))
    assert set(rows) == {f"provenance/difference/{name}/random" for name in FOUR_WAY}


def test_tokens_are_paired_by_question() -> None:
    row = next(tokens_difference("c1", "pocket", "random", {"a": 9.0, "b": 3.0}, {"a": 5.0}))
    assert (row.side, row.metric) == ("train", "selection/difference/tokens/random")
    assert (row.value, row.n) == (7.0, 2)


def test_an_arm_of_several_draws_has_a_mean_over_them() -> None:
    arm = [replace(answered({"q1": 1, "q2": 2}), draw=f"random_draw{n}") for n in range(3)]
    (row,) = arm_results("c", "b", arm)
    assert (row.metric, row.value, row.n) == ("grades/arm_accuracy", 1.0, 2)
    assert (row.note or "").endswith("covers 3 draws")
