"""Bands of position curves: whole questions are resampled."""

from __future__ import annotations

import numpy as np
import pytest

from rdpt_core.provenance.bands import (
    MIN_QUESTIONS,
    NO_SIDE,
    PlacedLabels,
    bands,
    bins_of,
    counts_at,
)
from rdpt_core.provenance.curves import CurveRule, Ints, curves, position_counts
from rdpt_core.provenance.labels import FOUR_WAY, LABELS
from rdpt_core.tables.rows import Outcome, Provenance


def placed(rows: list[tuple[int, int, int, int]]) -> PlacedLabels:
    """Question, side, ordinal and label of each sentence."""
    return PlacedLabels(*np.array(rows, dtype=np.int64).T)


def one_side(labels: list[list[int]], num_labels: int = 2) -> Ints:
    """Counts of one position: the labels of each question's traces."""
    rows = [(q, 0, 0, label) for q, own in enumerate(labels) for label in own]
    return counts_at(placed(rows), [range(1, 2)], len(labels), num_labels)[0]


def test_shares_are_those_of_the_curves() -> None:
    random = np.random.default_rng(3)
    outcomes = [Outcome.CORRECT, Outcome.WRONG, Outcome.TRUNCATED]
    rows, placements, outcome_of = [], [], {}
    for trace in range(40):
        outcome_of[str(trace)] = outcomes[trace % 3]
        for ordinal in range(int(random.integers(1, 9))):
            label = int(random.integers(0, len(FOUR_WAY) + 1)) - 1
            name = FOUR_WAY[label] if label >= 0 else None
            rows.append(Provenance(str(trace), ordinal, name, None, None, None, None, None, None))
            if label >= 0:
                side = {0: 0, 1: 1, 2: NO_SIDE}[trace % 3]
                placements.append((trace // 4, side, ordinal, label))
    expected = curves(position_counts(rows, outcome_of), CurveRule())
    positions = list(range(1, expected.share.shape[1] + 1))
    counts = counts_at(placed(placements), bins_of(positions, 99), 10, len(FOUR_WAY))
    columns = [LABELS.index(name) for name in FOUR_WAY]
    for side in range(2):
        found = bands(counts[side], seed=1)
        np.testing.assert_array_equal(found.share, expected.share[side][:, columns])
        np.testing.assert_array_equal(found.num_traces, expected.num_traces[side])


def test_a_band_is_as_wide_as_its_questions_make_it() -> None:
    # 40 questions, half of them all of one class: the binomial standard error of 40 draws is .079.
    alone = bands(one_side([[q % 2] for q in range(40)]), seed=1)
    half = 1.96 * (0.25 / 40) ** 0.5
    assert alone.share[0, 0] == 0.5
    assert alone.low[0, 0] == pytest.approx(0.5 - half, abs=0.03)
    assert alone.high[0, 0] == pytest.approx(0.5 + half, abs=0.03)


def test_more_traces_of_the_same_questions_make_no_narrower_band() -> None:
    once = bands(one_side([[q % 2] for q in range(40)]), seed=1)
    ten_times = bands(one_side([[q % 2] * 10 for q in range(40)]), seed=1)
    np.testing.assert_allclose(once.low, ten_times.low)
    np.testing.assert_allclose(once.high, ten_times.high)


def test_a_class_that_no_trace_shows_may_still_be_there() -> None:
    found = bands(one_side([[0]] * 20), seed=1)
    missed = 1 - 0.025 ** (1 / 20)
    assert (found.low[0, 1], found.share[0, 1]) == (0, 0)
    assert found.high[0, 1] == pytest.approx(missed)
    assert found.low[0, 0] == pytest.approx(1 - missed)


def test_few_questions_have_no_band_whatever_their_traces() -> None:
    few = bands(one_side([[0, 1] * 10] * (MIN_QUESTIONS - 1)), seed=1)
    assert few.num_traces[0] == 20 * (MIN_QUESTIONS - 1)
    assert np.isnan(few.low).all()
    assert np.isnan(few.high).all()
    assert few.share[0].tolist() == [0.5, 0.5]
    enough = bands(one_side([[0, 1] * 10] * MIN_QUESTIONS), seed=1)
    assert not np.isnan(enough.low).any()


def test_a_bin_pools_the_sentences_of_its_positions() -> None:
    rows = [(q, 0, k, (q + k) % 2) for q in range(8) for k in range(9)]
    every = counts_at(placed(rows), [range(p, p + 1) for p in range(1, 10)], 8, 2)
    pooled = counts_at(placed(rows), [range(1, 5), range(5, 9), range(9, 10)], 8, 2)
    expected = [every[:, :, a:b].sum(axis=2) for a, b in ((0, 4), (4, 8), (8, 9))]
    np.testing.assert_array_equal(pooled, np.stack(expected, axis=2))


def test_bins_are_equal_and_end_at_the_last_position() -> None:
    assert bins_of([1, 2, 4], 4) == [range(1, 2), range(2, 3), range(4, 5)]
    assert bins_of(list(range(1, 12)), 3) == [range(1, 5), range(5, 9), range(9, 12)]
    assert bins_of([], 3) == []


def test_the_band_of_a_bin_covers_questions_and_not_sentences() -> None:
    """All sentences of a question agree, so ten positions say no more than one."""
    rows = [(q, 0, k, q % 2) for q in range(40) for k in range(10)]
    one = bands(counts_at(placed(rows), [range(1, 2)], 40, 2)[0], seed=1)
    ten = bands(counts_at(placed(rows), [range(1, 11)], 40, 2)[0], seed=1)
    np.testing.assert_allclose(one.low, ten.low)
    np.testing.assert_allclose(one.high, ten.high)


def test_the_same_seed_gives_the_same_band() -> None:
    counts = one_side([[q % 3 % 2, q % 2] for q in range(30)])
    np.testing.assert_array_equal(bands(counts, 5).low, bands(counts, 5).low)
