"""The rows of results, from parts; missing is None, and n is always there."""

from __future__ import annotations

import pytest

from rdpt_core.provenance.curves import CurveRule, position_counts
from rdpt_core.provenance.labels import LabelRule
from rdpt_core.results.counts import class_counts, outcome_counts
from rdpt_core.results.summary import Attribution, benchmark_results
from rdpt_core.statistics.effects import CONSERVATIVE
from rdpt_core.tables.rows import Provenance, Result
from tests.core.results.graded_questions import (
    GRADED,
    SENTENCES,
    C,
    Graded,
    U,
    W,
    by_metric,
    counted,
    grades,
    outcome_of,
    problem_of,
)


def attribution() -> Attribution:
    problems, outcomes = problem_of(GRADED), outcome_of(GRADED)
    return Attribution(
        classes=class_counts(problems, outcomes, SENTENCES),
        three_way=class_counts(problems, outcomes, SENTENCES, LabelRule()),
        positions=position_counts(SENTENCES, outcomes),
    )


@pytest.fixture(scope="module")
def found() -> dict[str, Result]:
    outcomes = outcome_counts(problem_of(GRADED), grades(GRADED))
    before: Graded = dict.fromkeys(GRADED, (W, W))
    baseline = outcome_counts(problem_of(before), grades(before))
    domains = {"a": "easy", "d": "easy", "b": "hard", "c": "hard"}
    return by_metric(
        benchmark_results(
            "c1", "gsm", outcomes, baseline, attribution(), CurveRule(), domains, ("random",)
        )
    )


def test_accuracy_counts_truncated_and_unparsed_as_not_correct(found: dict[str, Result]) -> None:
    row = found["accuracy"]
    assert (row.value, row.n) == (0.5, 4)
    assert row.note == f"{CONSERVATIVE}; avg@2; one draw of random"
    assert row.low is not None
    assert (row.configuration, row.side, row.benchmark) == ("c1", "test", "gsm")


def test_accuracy_among_the_finished_and_the_shares_stand_beside_it(
    found: dict[str, Result],
) -> None:
    assert found["grades/accuracy_finished"].value == pytest.approx(4 / 7)
    assert found["grades/share/truncated"].value == pytest.approx(1 / 8)
    assert found["grades/share/unparsed"].value == pytest.approx(1 / 8)
    assert found["grades/share/timeout"].value == 0
    assert found["grades/num_samples"].value == 8


def test_lift_is_paired_and_conditional_on_the_checkpoint(found: dict[str, Result]) -> None:
    assert found["grades/lift"].value == 0.5
    assert "one seed: conditional on this checkpoint" in (found["grades/lift"].note or "")
    assert found["grades/detectable_lift"].value is not None


def test_gained_and_lost_questions_are_those_that_most_samples_solve() -> None:
    """A question of which half the samples are correct is not solved."""
    before: Graded = {"kept": (C, C, W), "lost": (C, C), "half": (C, C), "new": (W, W), "old": (C,)}
    after: Graded = {"kept": (W, C, C), "lost": (W, W), "half": (C, W), "new": (C, C), "more": (C,)}
    rows = by_metric(
        benchmark_results("c", "b", counted(after), counted(before), None, CurveRule())
    )
    found = {name: rows[f"grades/{name}"] for name in ("gained", "lost", "net_gained")}
    assert {name: row.value for name, row in found.items()} == {
        "gained": 1,
        "lost": 2,
        "net_gained": -1,
    }
    assert {row.n for row in found.values()} == {4}, "of the questions that both answered"
    for row in found.values():
        assert row.low is not None
        assert row.high is not None
        assert row.low < (row.value or 0) < row.high


def test_accuracy_by_domain_shows_what_the_mean_hides(found: dict[str, Result]) -> None:
    easy, hard = found["grades/accuracy/easy"], found["grades/accuracy/hard"]
    assert (easy.value, easy.n) == (0.75, 2)
    assert (hard.value, hard.n) == (0.25, 2)
    assert easy.low is not None
    assert easy.low < 0.75


def test_one_domain_says_no_more_than_the_accuracy() -> None:
    rows = by_metric(
        benchmark_results(
            "c", "b", counted(GRADED), None, None, CurveRule(), dict.fromkeys(GRADED, "algebra")
        )
    )
    assert not [name for name in rows if name.startswith("grades/accuracy/")]
    rows = by_metric(
        benchmark_results("c", "b", counted(GRADED), None, None, CurveRule(), {"a": "algebra"})
    )
    assert {name for name in rows if name.startswith("grades/accuracy/")} == {
        "grades/accuracy/algebra",
        "grades/accuracy/no domain",
    }


def test_t33a_class_shares_leave_missing_labels_out_and_count_them(
    found: dict[str, Result],
) -> None:
    assert found["teacher_share"].value == pytest.approx(2 / 5)
    assert found["teacher_share"].n == 3  # questions with a sentence
    assert found["provenance/share/student"].value == pytest.approx(1 / 5)
    assert found["provenance/missing"].value == pytest.approx(1 / 6)
    assert found["provenance/num_sentences"].value == 6
    assert found["provenance/three_way/common"].value == pytest.approx(2 / 5)
    assert "provenance/share/common" not in found


def test_teacher_share_of_correct_and_incorrect_answers(found: dict[str, Result]) -> None:
    assert found["provenance/teacher_share/correct"].value == pytest.approx(2 / 3)
    assert found["provenance/teacher_share/incorrect"].value == 0


def test_areas_sum_to_zero_and_say_their_reach(found: dict[str, Result]) -> None:
    areas = [row for name, row in found.items() if name.startswith("curves/area/full/")]
    assert sum(row.value or 0 for row in areas) == pytest.approx(0)
    assert found["curves/area/full/teacher"].value == 1
    assert found["curves/area/full/teacher"].note == (
        "positions 1 to 2, 1 left out; n counts positions"
    )
    assert found["curves/area/kstar/teacher"].value is None
    assert "curves/area_with_truncated/early/boosted" in found


def test_nothing_graded_is_none_not_zero() -> None:
    ungraded: Graded = {"a": (U, U), "b": (U, U)}
    rows = by_metric(
        benchmark_results(
            "c", "mine", outcome_counts(problem_of(ungraded), []), None, None, CurveRule()
        )
    )
    assert (rows["accuracy"].value, rows["accuracy"].n) == (None, 0)
    assert rows["grades/accuracy_finished"].value is None
    assert rows["grades/share/ungraded"].value == 1
    assert "grades/lift" not in rows
    assert "teacher_share" not in rows


@pytest.mark.fault("F33")
def test_nothing_scored_is_none_not_zero() -> None:
    rows = [Provenance("a0", 0, None, None, None, None, None, None, "error")]
    problems, outcomes = problem_of(GRADED), outcome_of(GRADED)
    classes = class_counts(problems, outcomes, rows)
    empty = Attribution(
        classes,
        class_counts(problems, outcomes, rows, LabelRule()),
        position_counts(rows, outcomes),
    )
    counts = outcome_counts(problems, grades(GRADED))
    shown = by_metric(benchmark_results("c", "b", counts, None, empty, CurveRule()))
    assert shown["teacher_share"].value is None
    assert shown["provenance/missing"].value == 1
    assert shown["curves/area/full/teacher"].value is None
