"""The labelling rule: order, strictness, identities, margins; and rows with missing scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from rdpt_core.provenance.labels import (
    LABELS,
    MISSING,
    Floats,
    LabelRule,
    label,
    probabilities,
    provenance,
)
from rdpt_core.tables.rows import Direction, Label, ScoreStatus, SentenceScore

p_values = arrays(np.float64, 12, elements=st.floats(0, 1))
thresholds = st.floats(0.01, 0.5)
CODE = {name: LABELS.index(name) for name in Label}


def count(found: Any, name: Label) -> int:
    return int((found.label == CODE[name]).sum())


def one(p_teacher: float, p_student: float, p_distilled: float | None, **rule: float) -> Label:
    distilled = None if p_distilled is None else np.array([p_distilled])
    found = label(np.array([p_teacher]), np.array([p_student]), distilled, LabelRule(**rule))
    return LABELS[int(found.label[0])]


def test_shared_is_asked_before_teacher() -> None:
    # A gap of 0.2 lies above beta and within alpha.
    assert one(0.7, 0.5, 0.6, alpha=0.25, beta=0.1) == Label.SHARED
    assert one(0.7, 0.5, None, alpha=0.25, beta=0.1) == Label.TEACHER


def test_thresholds_are_strict_for_teacher_and_not_for_shared() -> None:
    # Halves and quarters are exact in binary, so equality is meant.
    assert one(0.75, 0.5, 0.0, beta=0.25) == Label.BOOSTED
    assert one(0.5, 0.75, 0.0, beta=0.25) == Label.BOOSTED
    assert one(0.75, 0.5, None, beta=0.25) == Label.COMMON
    assert one(0.75, 0.5, 0.5, alpha=0.25) == Label.SHARED


@settings(max_examples=50, deadline=None)
@given(p_values, p_values, p_values, thresholds, thresholds)
def test_every_sentence_has_exactly_one_class(
    teacher: Floats, student: Floats, distilled: Floats, alpha: float, beta: float
) -> None:
    rule = LabelRule(alpha=alpha, beta=beta)
    four, three = label(teacher, student, distilled, rule), label(teacher, student, None, rule)
    assert count(four, Label.COMMON) == 0
    assert (four.label != MISSING).all()
    assert set(three.label.tolist()) <= {
        CODE[Label.TEACHER],
        CODE[Label.STUDENT],
        CODE[Label.COMMON],
    }
    assert (three.direction == MISSING).all()


@settings(max_examples=50, deadline=None)
@given(p_values, p_values, p_values, thresholds, thresholds)
def test_the_distilled_student_only_splits_common_when_beta_is_not_below_alpha(
    teacher: Floats, student: Floats, distilled: Floats, one_: float, other: float
) -> None:
    rule = LabelRule(alpha=min(one_, other), beta=max(one_, other))
    four, three = label(teacher, student, distilled, rule), label(teacher, student, None, rule)
    split = np.isin(four.label, [CODE[Label.SHARED], CODE[Label.BOOSTED]])
    assert (split == (three.label == CODE[Label.COMMON])).all()
    assert (four.label[~split] == three.label[~split]).all()


@settings(max_examples=50, deadline=None)
@given(p_values, p_values, p_values, thresholds, thresholds, thresholds)
def test_teacher_and_student_never_grow_with_beta_and_shared_never_shrinks_with_alpha(
    teacher: Floats, student: Floats, distilled: Floats, low: float, high: float, fixed: float
) -> None:
    low, high = sorted((low, high))
    for third in (distilled, None):
        small, large = (
            label(teacher, student, third, LabelRule(alpha=fixed, beta=beta))
            for beta in (low, high)
        )
        assert count(small, Label.TEACHER) >= count(large, Label.TEACHER)
        assert count(small, Label.STUDENT) >= count(large, Label.STUDENT)
    small, large = (
        label(teacher, student, distilled, LabelRule(alpha=alpha, beta=fixed))
        for alpha in (low, high)
    )
    assert count(small, Label.SHARED) <= count(large, Label.SHARED)


@settings(max_examples=50, deadline=None)
@given(p_values, p_values, thresholds, thresholds)
def test_nulls(p: Floats, q: Floats, alpha: float, beta: float) -> None:
    rule = LabelRule(alpha=alpha, beta=beta)
    alike = label(p, p, q, rule)
    assert count(alike, Label.TEACHER) == count(alike, Label.STUDENT) == 0
    assert count(label(p, p, p, rule), Label.SHARED) == len(p)
    loose = LabelRule(alpha=max(alpha, beta), beta=min(alpha, beta))
    assert count(label(p, q, p, loose), Label.BOOSTED) == 0
    assert count(label(p, q, q, loose), Label.BOOSTED) == 0


@settings(max_examples=50, deadline=None)
@given(p_values, p_values, p_values, thresholds, thresholds, st.integers(0, 2**32 - 1))
def test_no_label_changes_within_half_a_margin(
    teacher: Floats, student: Floats, distilled: Floats, alpha: float, beta: float, seed: int
) -> None:
    rule = LabelRule(alpha=alpha, beta=beta)
    for third in (distilled, None):
        found = label(teacher, student, third, rule)
        shifts = np.random.default_rng(seed).uniform(-1, 1, (3, len(teacher)))
        moved = [
            None if p is None else p + 0.499 * np.maximum(found.margin - 1e-9, 0) * shift
            for p, shift in zip((teacher, student, third), shifts, strict=True)
        ]
        assert moved[0] is not None
        assert moved[1] is not None
        assert (label(moved[0], moved[1], moved[2], rule).label == found.label).all()


@pytest.mark.parametrize(
    ("p", "expected", "moved"),
    [
        ((0.9, 0.6, 0.5), 0.2, (0.9, 0.81, 0.5)),  # teacher: the gap falls to beta
        ((0.9, 0.5, None), 0.3, (0.59, 0.5, None)),
        ((0.50, 0.52, 0.55), 0.05, (0.50, 0.52, 0.61)),  # shared: the widest gap grows to alpha
        ((0.50, 0.50, 0.62), 0.02, (0.50, 0.50, 0.59)),  # boosted: the widest falls to alpha
    ],
)
def test_a_label_changes_just_beyond_its_margin(
    p: tuple[float, float, float | None], expected: float, moved: tuple[float, float, float | None]
) -> None:
    distilled = None if p[2] is None else np.array([p[2]])
    found = label(np.array([p[0]]), np.array([p[1]]), distilled, LabelRule())
    assert found.margin[0] == pytest.approx(expected)
    assert one(*moved) != one(*p)


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_thresholds_are_finite_and_inside_the_unit_interval(name: str, bad: float) -> None:
    with pytest.raises(ValidationError):
        LabelRule(**{name: bad})


# ---------------------------------------------------------------- rows


def scored(scorer: str, *logprobs: float | None) -> list[SentenceScore]:
    return [
        SentenceScore("t", position, scorer, value, 0 if value is None else 2, 8, None, None, None)
        for position, value in enumerate(logprobs)
    ]


def test_t37_probability_is_the_geometric_mean_per_token_or_per_byte() -> None:
    rows = scored("m", 2 * np.log(0.5), None)
    assert probabilities(rows, LabelRule())[0] == pytest.approx(0.5)
    by_byte = probabilities(rows, LabelRule(normalisation="byte_mean"))
    assert by_byte[0] == pytest.approx(0.5 ** (2 / 8))
    assert np.isnan(by_byte[1])


def test_rows_carry_label_direction_margin_and_probabilities() -> None:
    high, low = 2 * np.log(0.9), 2 * np.log(0.3)
    (row,) = provenance(scored("a", high), scored("b", low), scored("c", high), LabelRule(), {})
    assert (row.label, row.direction) == (Label.TEACHER, Direction.BETWEEN)
    assert row.margin == pytest.approx(0.5)
    assert row.p_teacher == pytest.approx(0.9)
    assert row.reason is None


def test_t33a_a_missing_score_is_a_missing_label_with_the_reason_of_its_model() -> None:
    status = {
        ("t", "a"): ScoreStatus.OK,
        ("t", "b"): ScoreStatus.PARTIAL,
        ("t", "c"): ScoreStatus.TOO_LONG,
    }
    rows = list(
        provenance(
            scored("a", -1.0, -1.0, -1.0, None),
            scored("b", -1.0, None, -1.0, None),
            scored("c", -1.0, None, None, None),
            LabelRule(),
            status,
        )
    )
    assert [row.reason for row in rows] == [None, "partial", "too_long", "no_tokens"]
    assert [row.label is None for row in rows] == [False, True, True, True]
    assert rows[1].p_teacher is not None
    assert rows[1].p_student is None
    assert rows[1].margin is None
    assert rows[1].direction is None


def test_models_with_other_sentences_are_refused() -> None:
    with pytest.raises(ValueError, match="student's 1 sentences are not the teacher's 2"):
        list(provenance(scored("a", -1.0, -1.0), scored("b", -1.0), None, LabelRule(), {}))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-5, 0), min_size=1, max_size=8))
def test_a_model_against_itself_has_no_origin(logprobs: list[float]) -> None:
    rows = provenance(scored("a", *logprobs), scored("a", *logprobs), None, LabelRule(), {})
    assert {row.label for row in rows} == {Label.COMMON}
