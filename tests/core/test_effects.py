"""Intervals: they resample questions, cover what they should, and say what they leave out."""

from __future__ import annotations

import numpy as np
import pytest

from rdpt_core.effects import (
    FEW_QUESTIONS,
    Estimate,
    Floats,
    mean,
    ratio,
    ratios,
    resampled_sums,
    wilson,
)


def covers(estimate: Estimate, truth: float) -> bool:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low <= truth <= estimate.high


def test_a_large_sample_is_bootstrapped_and_a_small_one_is_called_approximate() -> None:
    values = np.random.default_rng(0).random(FEW_QUESTIONS)
    assert mean(values).note is None
    assert mean(values[:-1]).note == "approximate"


def test_the_small_sample_interval_of_a_mean_is_students() -> None:
    values = np.array([0.2, 0.4, 0.9, 0.5])
    found = mean(values)
    half = 3.1824463 * values.std(ddof=1) / 2  # t quantile of .975 at 3 degrees of freedom
    assert found.value == pytest.approx(0.5)
    assert found.low == pytest.approx(0.5 - half)
    assert found.high == pytest.approx(0.5 + half)
    assert found.n == 4


def test_equal_seeds_resample_equal_questions_whatever_is_summed() -> None:
    columns = np.random.default_rng(1).random((150, 3))
    together = resampled_sums(columns, 7, 20)
    alone = resampled_sums(columns[:, 1:2], 7, 20)
    assert np.allclose(together[:, 1:2], alone)


def test_a_questions_sentences_stay_together() -> None:
    # Every question is all one class: the interval is that of 120 questions, not 12,000 sentences.
    one = np.repeat([1.0, 0.0], 60)
    few, many = ratio(one, np.ones(120)), ratio(100 * one, np.full(120, 100.0))
    assert (few.low, few.high) == (many.low, many.high)
    assert few.low is not None
    assert few.low < 0.45


def test_shares_of_a_partition_sum_to_one() -> None:
    counts = np.random.default_rng(2).integers(0, 9, (40, 4)).astype(float)
    assert sum(one.value or 0 for one in ratios(counts, counts.sum(axis=1))) == pytest.approx(1)


def test_questions_without_a_unit_are_left_out_and_nothing_is_none_not_zero() -> None:
    assert ratio(np.array([1.0, 0.0, 0.0]), np.array([2.0, 1.0, 0.0])).n == 2
    assert ratio(np.zeros(3), np.zeros(3)) == Estimate(None, None, None, 0, None)
    assert mean(np.array([0.5])) == Estimate(0.5, None, None, 1, "one question: no interval")


def test_no_variation_is_no_certainty() -> None:
    found = mean(np.zeros(30))
    assert found.value == 0
    assert found.high == pytest.approx(0.1135, abs=1e-3)
    assert found.note == "all questions alike: Wilson"
    assert mean(np.full(5, 0.5)).low is None


def test_wilson_against_published_values() -> None:
    # Newcombe (1998), table I: 81 of 263, and 0 of 20.
    found, none = wilson(81, 263), wilson(0, 20)
    assert found.low == pytest.approx(0.2553, abs=1e-4)
    assert found.high == pytest.approx(0.3662, abs=1e-4)
    assert none.low == pytest.approx(0, abs=1e-12)
    assert none.high == pytest.approx(0.1611, abs=1e-4)
    assert wilson(0, 0).value is None


def test_coverage_of_question_intervals() -> None:
    """A mean with questions of very different difficulty, and a class share with clusters of
    random size; 95% nominal. 200 repetitions have a standard error of 1.5 points."""
    generator = np.random.default_rng(6)
    hits = np.zeros(3)
    for _ in range(200):
        hits[0] += covers(mean(generator.binomial(4, generator.beta(2, 2, 40)) / 4), 0.5)
        hits[1] += covers(ratio(*clusters(generator, 40)), 0.3)
        hits[2] += covers(ratio(*clusters(generator, 120), num_resamples=300), 0.3)
    assert (hits / 200 >= 0.91).all()
    assert (hits / 200 <= 0.985).all()


def clusters(generator: np.random.Generator, num_questions: int) -> tuple[Floats, Floats]:
    """Teacher sentences and sentences per question; the share is 0.3, and varies by question."""
    sizes = generator.integers(5, 40, num_questions)
    teacher = generator.binomial(sizes, generator.beta(3, 7, num_questions))
    return teacher.astype(np.float64), sizes.astype(np.float64)
