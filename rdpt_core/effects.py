"""Statistics: every number with its interval, its n, and what the interval does not cover.

One distinction runs through: the unit that is resampled is the question, with all its traces and
sentences, never the sentence (docs/method.md section 8). Every estimate here is a ratio of sums
over questions, so one bootstrap and one linearised Student-t serve means, shares and differences.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

NUM_RESAMPLES = 1000
SEED = 20251220
"""Of the resamples; one for everything, so that all classes and arms see the same ones."""
FEW_QUESTIONS = 100
"""Below it the bootstrap of questions covers 90 to 94% at 30 questions (docs/method.md, 8)."""
LEVEL = 0.95
NO_WIDTH = 1e-12
"""An interval that is no wider says nothing."""
APPROXIMATE = "approximate"


@dataclass(frozen=True, slots=True)
class Estimate:
    value: float | None
    low: float | None
    """95% interval, two-sided; None where there is none."""
    high: float | None
    n: int
    """Of the units that the interval resamples: questions, unless the note says otherwise."""
    note: str | None = None


def nothing(note: str | None = None, n: int = 0) -> Estimate:
    """The estimate of what cannot be estimated."""
    return Estimate(None, None, None, n, note)


def exact(value: float | None, n: int, note: str | None = None) -> Estimate:
    """A number without an interval, such as a count."""
    return Estimate(value, None, None, n, note)


def with_note(estimate: Estimate, note: str) -> Estimate:
    return replace(estimate, note=f"{estimate.note}; {note}" if estimate.note else note)


# ---------------------------------------------------------------- one sample of questions


def ratios(
    numerators: Floats,
    denominators: Floats,
    bounds: tuple[float, float] = (0.0, 1.0),
    seed: int = SEED,
    num_resamples: int = NUM_RESAMPLES,
) -> list[Estimate]:
    """Per column c of `numerators` (questions x c): sum of it / sum of `denominators`.

    From FEW_QUESTIONS questions on, the percentile interval of the cluster bootstrap; below, the
    linearised Student-t interval, marked approximate. Questions with denominator 0 are left out.
    `bounds` are the values that the ratio can take; the interval is cut there.
    """
    used = denominators > 0
    tops, bottoms = numerators[used].astype(np.float64), denominators[used].astype(np.float64)
    num_questions = len(bottoms)
    if num_questions == 0:
        return [nothing() for _ in range(numerators.shape[1])]
    values = tops.sum(axis=0) / bottoms.sum()
    if num_questions >= FEW_QUESTIONS:
        lows, highs = _percentiles(tops, bottoms, seed, num_resamples)
        note = None
    else:
        half = _student_t_half_widths(tops, bottoms, values)
        lows, highs = values - half, values + half
        note = APPROXIMATE
    return [
        _finished(value, low, high, num_questions, note, bounds)
        for value, low, high in zip(values, lows, highs, strict=True)
    ]


def ratio(
    numerators: Floats,
    denominators: Floats,
    bounds: tuple[float, float] = (0.0, 1.0),
    seed: int = SEED,
    num_resamples: int = NUM_RESAMPLES,
) -> Estimate:
    """`ratios` of one column."""
    return ratios(numerators[:, None], denominators, bounds, seed, num_resamples)[0]


def mean(values: Floats, bounds: tuple[float, float] = (0.0, 1.0), seed: int = SEED) -> Estimate:
    """Mean over questions; with one mean correctness per question it is avg@k."""
    return ratio(values, np.ones(len(values)), bounds, seed)


def resampled_sums(columns: Floats, seed: int, num_resamples: int) -> Floats:
    """Column sums over resampled questions, resamples x columns.

    Equal seed and number of questions give equal resamples, whatever the columns.
    """
    generator = np.random.default_rng(seed)
    size = len(columns)
    sums = np.empty((num_resamples, columns.shape[1]))
    for row in sums:
        drawn = generator.integers(size, size=size)
        row[:] = np.bincount(drawn, minlength=size) @ columns
    return sums


def _percentiles(
    tops: Floats, bottoms: Floats, seed: int, num_resamples: int
) -> tuple[Floats, Floats]:
    sums = resampled_sums(np.column_stack([tops, bottoms]), seed, num_resamples)
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(sums[:, :-1] / sums[:, -1:], [tail, 100 - tail], axis=0)
    return low, high


def _standard_errors(tops: Floats, bottoms: Floats, values: Floats) -> Floats:
    """Of ratios of sums, by linearisation: residual `top - value x bottom` per question."""
    num_questions = len(bottoms)
    residuals = tops - values * bottoms[:, None]
    scale = num_questions / max(num_questions - 1, 1)
    return np.asarray(np.sqrt(scale * (residuals**2).sum(axis=0)) / bottoms.sum())


def _student_t_half_widths(tops: Floats, bottoms: Floats, values: Floats) -> Floats:
    if len(bottoms) < 2:
        return np.full(len(values), np.nan)
    quantile = float(stats.t.ppf((1 + LEVEL) / 2, len(bottoms) - 1))
    return quantile * _standard_errors(tops, bottoms, values)


def _finished(
    value: float, low: float, high: float, n: int, note: str | None, bounds: tuple[float, float]
) -> Estimate:
    """The interval cut at `bounds`. One without width would claim certainty that nobody has: at
    the edge of [0, 1] it becomes Wilson's for n questions, elsewhere there is none."""
    if n < 2:
        return exact(float(value), n, "one question: no interval")
    if high - low <= NO_WIDTH:
        if bounds == (0.0, 1.0) and value in bounds:
            return with_note(wilson(round(value) * n, n), "all questions alike: Wilson")
        return exact(float(value), n, "all questions alike: no interval")
    return Estimate(float(value), max(float(low), bounds[0]), min(float(high), bounds[1]), n, note)


def wilson(num_hits: int, num_trials: int) -> Estimate:
    """Share of independent units with Wilson's score interval (E. B. Wilson, 1927)."""
    if num_trials == 0:
        return nothing()
    z = float(stats.norm.ppf((1 + LEVEL) / 2))
    share = num_hits / num_trials
    shrink = 1 + z**2 / num_trials
    centre = (share + z**2 / (2 * num_trials)) / shrink
    spread = share * (1 - share) / num_trials + z**2 / (4 * num_trials**2)
    half = z * spread**0.5 / shrink
    return Estimate(share, max(centre - half, 0.0), min(centre + half, 1.0), num_trials)
