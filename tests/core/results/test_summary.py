"""The rows of results, from parts; missing is None, and n is always there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from rdpt_core.provenance.curves import CurveRule, position_counts
from rdpt_core.provenance.labels import LabelRule
from rdpt_core.results.comparisons import (
    Answered,
    arm_results,
)
from rdpt_core.results.summary import (
    Attribution,
    QuestionCounts,
    benchmark_results,
    class_counts,
    merged,
    outcome_counts,
    pool_results,
    selection_results,
    training_results,
)
from rdpt_core.selection.candidates import CandidateRecord
from rdpt_core.selection.picks import Selector, select
from rdpt_core.statistics.effects import CONSERVATIVE
from rdpt_core.tables.rows import Grade, Label, Outcome, Provenance, Result, TrainingStep

C, W, T, U = Outcome.CORRECT, Outcome.WRONG, Outcome.TRUNCATED, Outcome.UNGRADED
Graded = dict[str, tuple[Outcome, ...]]
GRADED: Graded = {"a": (C, W), "b": (C, T), "c": (W, Outcome.UNPARSED), "d": (C, C)}


def problem_of(graded: Graded) -> dict[str, str]:
    return {f"{q}{i}": q for q, outcomes in graded.items() for i in range(len(outcomes))}


def outcome_of(graded: Graded) -> dict[str, Outcome]:
    return {f"{q}{i}": one for q, outcomes in graded.items() for i, one in enumerate(outcomes)}


def grades(graded: Graded) -> list[Grade]:
    return [Grade(trace, one, None) for trace, one in outcome_of(graded).items()]


def by_metric(rows: Iterable[Result]) -> dict[str, Result]:
    rows = list(rows)
    found = {row.metric: row for row in rows}
    assert len(found) == len(rows)  # metric is part of the key
    return found


def sentence(trace: str, position: int, label: Label | None, gap: float) -> Provenance:
    return Provenance(trace, position, label, None, None, 0.5 + gap, 0.5, 0.5, None)


SENTENCES = [
    sentence("a0", 0, Label.TEACHER, 0.3),
    sentence("a0", 1, Label.SHARED, 0.0),
    sentence("a1", 0, Label.BOOSTED, 0.05),
    sentence("b0", 0, Label.TEACHER, 0.3),
    Provenance("b0", 1, None, None, None, None, None, None, "partial"),
    sentence("c0", 0, Label.STUDENT, -0.3),
]


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


def counted(graded: Graded) -> QuestionCounts:
    return outcome_counts(problem_of(graded), grades(graded))


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


def test_an_arm_of_several_draws_has_a_mean_over_them() -> None:
    arm = [replace(answered({"q1": 1, "q2": 2}), draw=f"random_draw{n}") for n in range(3)]
    (row,) = arm_results("c", "b", arm)
    assert (row.metric, row.value, row.n) == ("grades/arm_accuracy", 1.0, 2)
    assert (row.note or "").endswith("covers 3 draws")


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


def answered(num_teacher: dict[str, int]) -> Answered:
    """Four sentences of each question, some of them Teacher and the rest Student; none where 0."""
    kept = {q: n for q, n in num_teacher.items() if n}
    rows = [
        sentence(f"{q}0", i, Label.TEACHER if i < n else Label.STUDENT, 0.0)
        for q, n in kept.items()
        for i in range(4)
    ]
    problems = {f"{q}0": q for q in num_teacher}
    graded = [Grade(trace_id, Outcome.CORRECT, None) for trace_id in problems]
    return Answered(outcome_counts(problems, graded), class_counts(problems, {}, rows))


# ---------------------------------------------------------------- the train side

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
