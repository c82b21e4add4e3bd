"""95% intervals of shares and of their differences, from numbers per question.

Everything is a ratio of sums over questions and enters as its linearisation: a value, and what each
question adds to its error. So one way serves means, shares of sentences and means over fine-tuning
runs. Nothing here knows tables or names; arrays only, questions first, one column per estimate.
Their coverage is measured by `perf/coverage.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TAIL = 0.025
"""Probability that each end of an interval leaves out."""
COARSE = 16.0
"""Variance of the effective number of successes, `trials p (1 - p)`, below which an interval is
conservative: one success is more than a quarter of a standard error then."""
WIDE = 1.09
"""Width of an interval, over that of the normal one of what questions show, above which it is
conservative."""
FEW_FREEDOM = 2.5
"""Degrees of freedom of runs below which an interval that covers them is conservative."""
FEW = 10.0
"""Effective number of questions that differ below which an interval of a total is unsure."""
ROUNDING = 1e-9
SYMMETRIC = 1e-6
"""Skewness below which there is none."""
PSEUDO = 1.0
"""Questions, all or nothing, that are added to what few successes or failures say of the spread. At
0, 30 questions with 64 samples and a mean of .03 are covered 84%; at 1, no case less than 93%."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ratios of sums over questions, linearised; one column for each."""

    value: Floats
    """columns."""
    residuals: Floats
    """questions x columns: `(top - value * bottom) / sum of bottoms`. They sum to 0, and the
    variance of the value is their sum of squares times n / (n - 1)."""
    num_at_least: Floats
    """columns: `sum of bottoms / largest bottom`, the number of questions if all were of that size.
    The rare ones may be the large ones, so it stands for all where little is known."""

    @property
    def num_questions(self) -> int:
        return len(self.residuals)

    @property
    def variance(self) -> Floats:
        return _variance(self.residuals)


def _variance(residuals: Floats) -> Floats:
    n = len(residuals)
    return np.asarray(n / max(n - 1, 1) * np.square(residuals).sum(axis=0))


Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Limits:
    low: Floats
    high: Floats
    conservative: Flags
    """True where the data are too few for a narrower interval that holds: it covers 93 to 100%.
    Where a mean without bounds rests on few questions: it may also cover less."""
    misses_rare: Flags
    """True where one of two arms may win whole questions that are too rare to be among these, and
    by more than the interval says."""


def linearised(tops: Floats, bottoms: Floats) -> Ratio:
    """Both questions x columns, sums of bottoms above 0. A mean has bottoms of 1."""
    totals = bottoms.sum(axis=0)
    value = tops.sum(axis=0) / totals
    return Ratio(value, (tops - value * bottoms) / totals, totals / bottoms.max(axis=0))


def averaged(runs: Sequence[Ratio]) -> Ratio:
    """The mean of several runs on the same questions."""
    return Ratio(
        np.mean([run.value for run in runs], axis=0),
        np.mean([run.residuals for run in runs], axis=0),
        np.min([run.num_at_least for run in runs], axis=0),
    )


def student(freedom: Floats | float, p: float = 1 - TAIL) -> Floats:
    """Student's quantile; the normal one at infinite degrees of freedom."""
    from scipy.special import stdtrit  # not for those who only read results

    return np.asarray(stdtrit(freedom, p))


# ---------------------------------------------------------------- one share


def share_limits(ratio: Ratio) -> Limits:
    """Interval of a value in [0, 1]: Clopper and Pearson's, at the effective number of trials
    `p (1 - p) / variance` (Korn and Graubard, 1998).

    The variance is that between questions, so samples and sentences of one question count for what
    they add. Where successes or failures are few it says too little, and the design in which every
    question is all or nothing comes in with the weight of PSEUDO of them: without any success it
    stands alone. Student's quantile widens what is estimated from few questions. Answers of 0 and 1
    have Clopper and Pearson's own interval.
    """
    from scipy.special import betaincinv  # not for those who only read results

    p = ratio.value
    trials = _trials(ratio)
    hits, misses = trials * p, trials * (1 - p)
    low = np.where(p > 0, betaincinv(np.where(p > 0, hits, 1), misses + 1, TAIL), 0.0)
    high = np.where(p < 1, betaincinv(hits + 1, np.where(p < 1, misses, 1), 1 - TAIL), 1.0)
    coarse = hits * misses < COARSE * trials
    wide = _is_wide(high - low, ratio.variance)
    return Limits(low, high, coarse | wide, np.zeros_like(coarse))


def _is_wide(width: Floats, variance: Floats) -> Flags:
    """True also where nothing varies."""
    return np.asarray(width > WIDE * 2 * student(np.inf) * np.sqrt(variance))


def _trials(ratio: Ratio) -> Floats:
    """Effective number of independent trials; that of questions where all are 0 or 1."""
    p, most, n = ratio.value, 1 / ratio.num_at_least, ratio.num_questions
    spread, variance = p * (1 - p), ratio.variance
    varies = (spread > 0) & (variance > 0)
    seen = np.where(varies, variance, 1.0) / np.where(varies, spread, 1.0)
    rarer = np.minimum(p, 1 - p)
    # (rarer / seen) effective successes or failures say `seen`; `weight` of them, PSEUDO questions
    # of the largest size, say `most`
    weight = PSEUDO * n * most
    shrunk = np.where(varies, seen * (rarer + weight * most) / (rarer + weight * seen), most)
    factor = (student(max(n - 1, 1)) / student(np.inf)) ** 2
    inverse = np.minimum(factor * shrunk, np.maximum(shrunk * (n - 1) / n, most))
    return np.asarray(1 / inverse)


def run_limits(runs: Sequence[Ratio]) -> Limits:
    """Interval of the mean of several runs in [0, 1] that covers runs and questions."""
    mean = averaged(runs)
    found, (more, unsure) = share_limits(mean), _between_runs([runs])
    low = mean.value - np.sqrt((mean.value - found.low) ** 2 + more)
    high = mean.value + np.sqrt((found.high - mean.value) ** 2 + more)
    conservative = found.conservative | unsure
    return Limits(np.maximum(low, 0), np.minimum(high, 1), conservative, found.misses_rare)


# ---------------------------------------------------------------- differences


def difference_limits(one: Ratio, other: Ratio, runs: Sequence[Sequence[Ratio]] = ()) -> Limits:
    """Interval of `one - other` on the same questions, from both intervals and the correlation of
    their questions (Newcombe, 1998; Zou and Donner, 2008).

    What correlation does not know is added: of n questions that look alike, so many as
    `_unseen_share(n)` may be won or lost; it fades with the number of questions that differ. So
    where all differ by the noise of samples, and the interval is narrower than that share, a few
    that one arm wins whole are missed: `misses_rare`.
    `runs` are those of which `one` or `other` is the mean, where the interval is to cover them too.
    """
    a, b = share_limits(one), share_limits(other)
    r = _correlation(one.residuals, other.residuals)
    below = _joined(one.value - a.low, b.high - other.value, r)
    above = _joined(a.high - one.value, other.value - b.low, r)
    unseen = _unseen_share(np.minimum(one.num_at_least, other.num_at_least)) ** 2
    gap = one.value - other.value
    of_each = one.residuals - other.residuals + gap / one.num_questions
    unseen /= 1 + _num_effective(of_each)
    more, unsure = _between_runs(runs)
    low, high = gap - np.sqrt(below + unseen + more), gap + np.sqrt(above + unseen + more)
    width = np.sqrt(below + unseen) + np.sqrt(above + unseen)
    wide = _is_wide(width, _variance(one.residuals - other.residuals))
    misses_rare = high - low < 2 * _unseen_share(one.num_questions) * (1 - ROUNDING)
    return Limits(np.maximum(low, -1), np.minimum(high, 1), unsure | wide, misses_rare)


def _joined(one: Floats, other: Floats, correlation: Floats) -> Floats:
    return np.maximum(one**2 + other**2 - 2 * correlation * one * other, 0.0)


def _correlation(one: Floats, other: Floats) -> Floats:
    """0 where one of the two does not vary."""
    scale = np.sqrt(np.square(one).sum(axis=0) * np.square(other).sum(axis=0))
    return np.asarray((one * other).sum(axis=0) / np.where(scale > 0, scale, 1.0))


def _unseen_share(num: Floats | int) -> Floats:
    """Share of all questions that `num` of them miss with a probability of TAIL."""
    return np.asarray(1 - TAIL ** (1 / np.asarray(num)))


def _num_effective(gaps: Floats) -> Floats:
    """Questions that differ, those that differ by little counting less: `(sum |d|)^2 / sum d^2`."""
    squares = np.square(gaps).sum(axis=0)
    return np.asarray(np.abs(gaps).sum(axis=0) ** 2 / np.where(squares > 0, squares, 1.0))


# ---------------------------------------------------------------- means without bounds


def mean_limits(values: Floats) -> Limits:
    """Interval of the mean of any numbers, such as tokens, questions x columns: on each side the
    wider of Student's interval and of that corrected for skewness (Hall, 1992)."""
    n, mean, spread = len(values), values.mean(axis=0), values.std(axis=0, ddof=1)
    half = student(n - 1) / n**0.5
    skewness = ((values - mean) ** 3).mean(axis=0) / np.where(spread > 0, spread, 1.0) ** 3
    skewness = np.where(np.abs(skewness) > SYMMETRIC, skewness, SYMMETRIC)

    def corrected(x: Floats) -> Floats:
        """Hall's transformation of the studentised mean, turned round."""
        return np.asarray(3 / skewness * (np.cbrt(1 + skewness * (x - skewness / (6 * n))) - 1))

    low = mean - spread * np.maximum(half, corrected(half))
    high = mean + spread * np.maximum(half, -corrected(-half))
    few = _num_effective(values) < FEW
    return Limits(low, high, few, np.zeros_like(few))


# ---------------------------------------------------------------- runs


def _between_runs(arms: Sequence[Sequence[Ratio]]) -> tuple[Floats, Flags]:
    """Square of the half width that is due to the runs of each arm: Student's quantile, with the
    degrees of freedom of Welch and Satterthwaite, times the standard error. The noise of samples is
    in the questions' part already and taken off here. True where it is as large as the rest, or
    where runs are few: what they say, so widened, and the questions' part are too wide together."""
    if not arms:
        return np.zeros(1), np.zeros(1, dtype=bool)
    raw, noise = (np.array(x) for x in zip(*map(_run_variances, arms), strict=True))
    own = np.maximum(raw - noise, 0.0)
    freedoms = np.array([len(runs) - 1 for runs in arms])[:, None]
    parts = (raw**2 / freedoms).sum(axis=0)
    freedom = np.where(parts > 0, raw.sum(axis=0) ** 2 / np.where(parts > 0, parts, 1.0), 1.0)
    unsure = (own < noise).any(axis=0) | (freedom < FEW_FREEDOM)
    return student(freedom) ** 2 * own.sum(axis=0), unsure


def _run_variances(runs: Sequence[Ratio]) -> tuple[Floats, Floats]:
    """Variance of the mean over runs, and how much of it samples explain."""
    residuals = np.array([run.residuals for run in runs])
    num_runs, n = residuals.shape[:2]
    noise = np.square(residuals - residuals.mean(axis=0)).sum(axis=(0, 1))
    noise *= n / max(n - 1, 1) / (num_runs * (num_runs - 1))
    return np.array([run.value for run in runs]).var(axis=0, ddof=1) / num_runs, noise
