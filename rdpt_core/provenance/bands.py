"""How sure a position curve is: 95% bands that resample whole questions.

Sentences of one trace, and traces of one question, go together, so a resample takes a question with
all of its traces or leaves it out (a cluster bootstrap). The sums are of small integers, which
float32 holds exactly: neither threads nor their order move a band.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdpt_core.provenance.curves import OUTCOMES, SIDES, CurveRule, Floats, Ints

TAIL = 0.025
"""Probability that each end of a band leaves out."""
NUM_RESAMPLES = 1_000
MIN_QUESTIONS = 5
"""At a position; fewer say nothing of how questions differ, and have no band."""
NO_SIDE = -1


@dataclass(frozen=True, slots=True)
class PlacedLabels:
    """Parallel arrays, one element a labelled sentence."""

    question: Ints
    side: Ints
    """Index into SIDES of its trace's outcome; NO_SIDE where the trace is on neither."""
    ordinal: Ints
    """Among the sentences of its trace outside tags, from 0."""
    label: Ints
    """Index into the labels that are counted."""


@dataclass(frozen=True, slots=True)
class Bands:
    """The shares of one side; NaN where there is none."""

    share: Floats
    """positions x labels, as are the limits."""
    low: Floats
    high: Floats
    num_traces: Ints
    """positions; of a bin the number of its sentences."""


def sides_of(outcomes: Ints) -> Ints:
    """Index into SIDES of each index into OUTCOMES; NO_SIDE for those on neither."""
    found = np.full(len(OUTCOMES), NO_SIDE, dtype=np.int64)
    for number, side in enumerate(SIDES):
        found[[OUTCOMES.index(outcome) for outcome in CurveRule().outcomes(side)]] = number
    return found[outcomes]


def positions_with(placed: PlacedLabels, min_traces: int) -> list[int]:
    """Those with so many traces on either side, from 1."""
    enough: set[int] = set()
    for side in range(len(SIDES)):
        counts = np.bincount(placed.ordinal[placed.side == side])
        enough |= set((np.flatnonzero(counts >= min_traces) + 1).tolist())
    return sorted(enough)


def bins_of(positions: Sequence[int], most: int) -> list[range]:
    """Equal bins of positions, at most so many, up to the last of `positions`; only the last bin
    may be shorter. A bin for each of `positions` where they are few enough."""
    last = max(positions, default=0)
    width = -(-last // most) or 1
    if width == 1:
        return [range(p, p + 1) for p in positions]
    return [range(first, min(first + width, last + 1)) for first in range(1, last + 1, width)]


def counts_at(
    placed: PlacedLabels, bins: Sequence[range], num_questions: int, num_labels: int
) -> Ints:
    """sides x questions x bins x labels; a bin's positions count from 1, as in curves, and its
    sentences are pooled."""
    last = max(int(placed.ordinal.max(initial=-1)) + 1, *(one.stop for one in bins), 0)
    column = np.full(last, -1, dtype=np.int64)
    for number, one in enumerate(bins):
        column[one.start - 1 : one.stop - 1] = number
    kept = (placed.side != NO_SIDE) & (column[placed.ordinal] >= 0)
    shape = (len(SIDES), num_questions, len(bins), num_labels)
    at = (
        placed.side[kept],
        placed.question[kept],
        column[placed.ordinal[kept]],
        placed.label[kept],
    )
    flat = np.bincount(np.ravel_multi_index(at, shape), minlength=int(np.prod(shape)))
    return flat.reshape(shape)


def bands(counts: Ints, seed: int) -> Bands:
    """Shares of one side with their limits, from its questions x positions x labels."""
    totals = counts.sum(axis=0)
    num_traces = totals.sum(axis=1)
    share = _shares(totals.astype(np.float64))
    low, high = _resampled(counts, share, seed)
    reached = (counts.sum(axis=2) > 0).sum(axis=0)
    low, high = _widened(share, low, high, reached)
    few = (reached < MIN_QUESTIONS)[:, None]
    return Bands(share, np.where(few, np.nan, low), np.where(few, np.nan, high), num_traces)


def _shares(totals: Floats) -> Floats:
    """NaN where nothing is counted."""
    n = totals.sum(axis=-1, keepdims=True)
    shares: Floats = np.divide(totals, n, out=np.full(totals.shape, np.nan), where=n > 0)
    return shares


def _resampled(counts: Ints, share: Floats, seed: int) -> tuple[Floats, Floats]:
    """Percentiles of the shares over resamples; one that does not reach a position counts as the
    share itself, of which there are few where a band is kept."""
    num_questions, *shape = counts.shape
    random = np.random.default_rng(seed)
    even = np.full(num_questions, 1 / max(num_questions, 1))
    weights = random.multinomial(num_questions, even, size=NUM_RESAMPLES).astype(np.float32)
    sums = (weights @ counts.reshape(num_questions, -1).astype(np.float32)).T.reshape(*shape, -1)
    totals = sums.sum(axis=1, keepdims=True)
    shares = np.divide(sums, totals, out=np.full_like(sums, np.nan), where=totals > 0)
    shares = np.where(np.isnan(shares), share[:, :, None].astype(np.float32), shares)
    ends = [int(TAIL * NUM_RESAMPLES), int((1 - TAIL) * NUM_RESAMPLES)]
    shares.partition(ends, axis=2)
    low, high = (shares[:, :, end].astype(np.float64) for end in ends)
    return low, high


def _widened(
    share: Floats, low: Floats, high: Floats, reached: NDArray[np.int_]
) -> tuple[Floats, Floats]:
    """Where a class is absent, or alone, every resample says the same; its limit is the share that
    so many questions miss with a probability of 2.5%."""
    unseen = 1 - TAIL ** (1 / np.maximum(reached, 1))[:, None]
    high = np.where(share == 0, np.maximum(high, unseen), high)
    low = np.where(share == 1, np.minimum(low, 1 - unseen), low)
    return low, high
