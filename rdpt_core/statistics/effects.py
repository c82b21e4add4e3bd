"""Estimates: every number with its interval, its n, and what the interval does not cover.

One distinction runs through: the unit is the question, with all its traces and sentences, never
the sentence (docs/method.md section 8). Every estimate is a ratio of sums over questions, so one
kind of interval (`intervals.py`) serves means and shares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rdpt_core.statistics.intervals import Floats, Limits, linearised, share_limits

CONSERVATIVE = "conservative: too few cases for a narrower interval"
MISSES_RARE = "may miss rare wins of whole questions"

ONE_QUESTION = "one question: no interval"


@dataclass(frozen=True, slots=True)
class Estimate:
    value: float | None
    low: float | None
    """95% interval, two-sided; None where there is none."""
    high: float | None
    n: int
    """Questions, unless the note says otherwise."""
    note: str | None = None


def nothing(note: str | None = None, n: int = 0) -> Estimate:
    """The estimate of what cannot be estimated."""
    return Estimate(None, None, None, n, note)


def exact(value: float | None, n: int, note: str | None = None) -> Estimate:
    """A number without an interval, such as a count."""
    return Estimate(value, None, None, n, note)


def with_note(estimate: Estimate, note: str | None) -> Estimate:
    if not note:
        return estimate
    return replace(estimate, note=f"{estimate.note}; {note}" if estimate.note else note)


def times(one: Estimate, factor: int) -> Estimate:
    """The estimate of a total, from that of a mean."""
    value, low, high = (None if x is None else x * factor for x in (one.value, one.low, one.high))
    return replace(one, value=value, low=low, high=high)


def mean_of(estimates: Sequence[Estimate]) -> Estimate:
    """Mean of estimates on different questions, each counting alike. Its interval is recovered from
    theirs, as independent ones (Zou and Donner, 2008); none where one of them has none."""
    if not estimates or any(one.value is None for one in estimates):
        return nothing()
    k, n = len(estimates), sum(one.n for one in estimates)
    value = sum(one.value or 0.0 for one in estimates) / k
    ends = [(one.value, one.low, one.high) for one in estimates]
    below = [v - low for v, low, _ in ends if v is not None and low is not None]
    above = [high - v for v, _, high in ends if v is not None and high is not None]
    if min(len(below), len(above)) < k:
        return exact(value, n)
    return Estimate(value, value - math.hypot(*below) / k, value + math.hypot(*above) / k, n)


# ---------------------------------------------------------------- one sample of questions


def ratios(numerators: Floats, denominators: Floats) -> list[Estimate]:
    """Per column c of `numerators` (questions x c): sum of it / sum of `denominators`, in [0, 1].

    Questions with denominator 0 are left out.
    """
    used = denominators > 0
    tops, bottoms = numerators[used].astype(np.float64), denominators[used].astype(np.float64)
    num_columns = numerators.shape[1]
    if len(bottoms) == 0:
        return [nothing()] * num_columns
    ratio = linearised(tops, np.broadcast_to(bottoms[:, None], tops.shape))
    if len(bottoms) == 1:
        return [exact(float(value), 1, ONE_QUESTION) for value in ratio.value]
    limits = share_limits(ratio)
    columns = zip(ratio.value, limits.low, limits.high, strict=True)
    return [
        Estimate(float(value), float(low), float(high), len(bottoms), limits_note(limits, at))
        for at, (value, low, high) in enumerate(columns)
    ]


def ratio(numerators: Floats, denominators: Floats) -> Estimate:
    """`ratios` of one column."""
    return ratios(numerators[:, None], denominators)[0]


def mean(values: Floats) -> Estimate:
    """Mean over questions of numbers in [0, 1]; with one mean correctness per question it is
    avg@k."""
    return ratio(values, np.ones(len(values)))


def proportion(num_hits: int, num_trials: int) -> Estimate:
    """Share of questions of which something holds."""
    hits = np.zeros(num_trials)
    hits[:num_hits] = 1
    return mean(hits)


def limits_note(limits: Limits, at: int = 0) -> str | None:
    """What a reader has to know of the interval in column `at`."""
    notes = (CONSERVATIVE, limits.conservative[at]), (MISSES_RARE, limits.misses_rare[at])
    return "; ".join(note for note, holds in notes if holds) or None
