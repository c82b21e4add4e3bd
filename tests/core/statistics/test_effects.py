"""Estimates: the question is the unit, and an interval says what it leaves out."""

from __future__ import annotations

import numpy as np
import pytest

from rdpt_core.statistics.effects import (
    CONSERVATIVE,
    MISSES_RARE,
    Estimate,
    limits_note,
    mean,
    mean_of,
    proportion,
    ratio,
    ratios,
)
from rdpt_core.statistics.intervals import Floats, Limits


def test_equal_clusters_of_0_and_1_have_clopper_and_pearsons_interval() -> None:
    # Newcombe (1998), table I, method 5: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    published = {
        (81, 263): (0.2527, 0.3676),
        (15, 148): (0.0578, 0.1617),
        (0, 20): (0.0, 0.1684),
        (1, 29): (0.0009, 0.1776),
    }
    for (hits, trials), limits in published.items():
        found = proportion(hits, trials)
        assert (found.value, found.n) == (hits / trials, trials)
        assert [found.low, found.high] == pytest.approx(limits, abs=1e-4)
    assert proportion(0, 0).value is None


def test_an_interval_in_coarse_steps_is_called_conservative() -> None:
    """One success more is over a quarter of a standard error: `n p (1 - p)` is less than 16."""
    assert proportion(19, 100).note == proportion(81, 100).note == CONSERVATIVE
    assert proportion(20, 100).note is None
    assert proportion(30, 60).note == CONSERVATIVE
    assert proportion(32, 64).note is None


def test_a_note_names_all_that_a_reader_has_to_know() -> None:
    zero, one = np.zeros(4), np.ones(4)
    yes, no = np.array([True, True, False, False]), np.array([True, False, True, False])
    limits = Limits(zero, one, yes, no)
    assert [limits_note(limits, at) for at in range(4)] == [
        f"{CONSERVATIVE}; {MISSES_RARE}",
        CONSERVATIVE,
        MISSES_RARE,
        None,
    ]


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
    """The interval is as wide as if every question were all or nothing."""
    assert mean(np.zeros(30)).high == pytest.approx(1 - 0.025 ** (1 / 30))
    half, split = mean(np.full(6, 0.5)), mean(np.repeat([0.0, 1.0], 3))
    assert (half.low, half.high) == pytest.approx((split.low, split.high))
    assert half.note == CONSERVATIVE


def clusters(generator: np.random.Generator, num_questions: int) -> tuple[Floats, Floats]:
    """Teacher sentences and sentences per question; the share is 0.3, and varies by question."""
    sizes = generator.integers(5, 40, num_questions)
    teacher = generator.binomial(sizes, generator.beta(3, 7, num_questions))
    return teacher.astype(np.float64), sizes.astype(np.float64)


def test_the_mean_over_benchmarks_has_the_interval_of_independent_ones() -> None:
    found = mean_of([Estimate(0.5, 0.2, 0.9, 40), Estimate(0.7, 0.3, 1.0, 60)])
    assert found.value == pytest.approx(0.6)
    assert found.n == 100
    assert found.low == pytest.approx(0.6 - 0.5 / 2)  # 0.3, 0.4 below
    assert found.high == pytest.approx(0.6 + 0.5 / 2)  # 0.4, 0.3 above


def test_a_mean_over_benchmarks_without_an_interval_of_each_has_none() -> None:
    found = mean_of([Estimate(0.5, 0.2, 0.9, 40), Estimate(0.7, None, None, 1)])
    assert found.value == pytest.approx(0.6)
    assert (found.low, found.high) == (None, None)
    assert mean_of([]).value is None
