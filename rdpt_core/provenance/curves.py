"""Position curves: the share of a class among the k-th sentences, correct and incorrect apart.

Formulas of the DASD report (arXiv 2601.09088, Figure 6), numerics of method.md section 7. Counts
and curves are apart: `PositionCounts` is what parts add up to, a few numbers per position; curves
and areas are read from the sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from rdpt_core.provenance.labels import LABELS
from rdpt_core.tables.recipe import Rule
from rdpt_core.tables.rows import Label, Outcome, Provenance

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

OUTCOMES: tuple[Outcome, ...] = tuple(Outcome)
"""First axis of the counts; a trace without a grade is `ungraded`."""
UNLABELLED = len(LABELS)
"""Last column of the counts: sentences whose label is missing."""
WINDOW = 101
"""Window of the Savitzky-Golay filter, recovered from Figure 6; shorter curves are not smoothed."""
ORDER = 2


class Side(StrEnum):
    CORRECT = "correct"
    INCORRECT = "incorrect"


SIDES: tuple[Side, ...] = tuple(Side)


class CurveRule(Rule):
    with_truncated: bool = False
    """If true, a truncated trace counts as incorrect; otherwise it is left out."""
    last: int = Field(default=800, ge=1)
    """Position up to which indices are reliable, says a reviewer of the paper."""
    min_traces: int = Field(default=30, ge=1)
    """K* is the last position with this many traces, correct and incorrect each."""

    def outcomes(self, side: Side) -> tuple[Outcome, ...]:
        """A trace that ended without a readable answer is incorrect; one whose grading timed out,
        or that was not graded, is on neither side."""
        if side == Side.CORRECT:
            return (Outcome.CORRECT,)
        truncated = (Outcome.TRUNCATED,) if self.with_truncated else ()
        return (Outcome.WRONG, Outcome.UNPARSED, *truncated)


@dataclass(frozen=True, slots=True)
class PositionCounts:
    """Numbers of k-th sentences, counted among the sentences outside tags, from k = 1."""

    counts: Ints
    """outcomes x positions x (labels + unlabelled)."""

    def __add__(self, other: PositionCounts) -> PositionCounts:
        size = max(self.counts.shape[1], other.counts.shape[1])
        return PositionCounts(_padded(self.counts, size) + _padded(other.counts, size))

    @classmethod
    def none(cls) -> PositionCounts:
        return cls(np.zeros((len(OUTCOMES), 0, len(LABELS) + 1), dtype=np.int64))


def _padded(counts: Ints, size: int) -> Ints:
    return np.pad(counts, ((0, 0), (0, size - counts.shape[1]), (0, 0)))


def position_counts(
    rows: Iterable[Provenance], outcome_of: Mapping[str, Outcome]
) -> PositionCounts:
    """Counts of one part: whole traces, in any order. `outcome_of` maps trace ids; a trace that it
    lacks is ungraded."""
    code = {label: number for number, label in enumerate(LABELS)} | {None: UNLABELLED}
    placed = sorted((row.trace_id, row.position, code[row.label]) for row in rows)
    if not placed:
        return PositionCounts.none()
    trace_ids = [trace_id for trace_id, _, _ in placed]
    outcome = [OUTCOMES.index(outcome_of.get(trace, Outcome.UNGRADED)) for trace in trace_ids]
    ordinals = _ordinals(trace_ids)
    counts = np.zeros((len(OUTCOMES), max(ordinals) + 1, len(LABELS) + 1), dtype=np.int64)
    np.add.at(counts, (outcome, ordinals, [code for _, _, code in placed]), 1)
    return PositionCounts(counts)


def _ordinals(trace_ids: list[str]) -> list[int]:
    """0, 1, 2, ... within each run of equal ids."""
    ordinals: list[int] = []
    for i, trace_id in enumerate(trace_ids):
        ordinals.append(ordinals[-1] + 1 if i and trace_ids[i - 1] == trace_id else 0)
    return ordinals


@dataclass(frozen=True, slots=True)
class Curves:
    """`share_c^o(k)`; positions first, sides as in SIDES, classes as in LABELS."""

    share: Floats
    """sides x positions x labels; NaN where no trace of the side has a labelled k-th sentence.
    A class that the rule does not know (Common among four) is 0 throughout."""
    num_traces: Ints
    """`n_o(k)`: sides x positions, the traces whose k-th sentence has a label."""
    num_unlabelled: Ints
    """sides x positions; outside the shares, since a missing score is not a number."""


def curves(counts: PositionCounts, rule: CurveRule) -> Curves:
    """`share_c^o(k) = #(k-th sentences of class c, outcome o) / n_o(k)` (DASD report)."""
    sides = np.stack(
        [
            counts.counts[[OUTCOMES.index(outcome) for outcome in rule.outcomes(side)]].sum(axis=0)
            for side in SIDES
        ]
    )
    labelled = sides[:, :, :UNLABELLED]
    num_traces = labelled.sum(axis=2)
    share = np.full(labelled.shape, np.nan)
    np.divide(labelled, num_traces[:, :, None], out=share, where=num_traces[:, :, None] > 0)
    return Curves(share, num_traces, sides[:, :, UNLABELLED])


def smoothed(share: Floats) -> Floats | None:
    """One side's curves (positions x labels) under Savitzky-Golay(101, 2) with polynomial edges,
    which may leave [0, 1]. None below 101 points: there is no smoothing. Positions without traces
    stay NaN, and the filter runs over the others as neighbours."""
    from scipy.signal import savgol_filter  # half a second, and every start imports this module

    used = ~np.isnan(share).any(axis=1)
    if used.sum() < WINDOW:
        return None
    result = np.full(share.shape, np.nan)
    result[used] = savgol_filter(share[used], WINDOW, ORDER, axis=0, mode="interp")
    return result


@dataclass(frozen=True, slots=True)
class Area:
    """`D_c = sum over k of (share_c^correct(k) - share_c^incorrect(k))`, unit spacing."""

    by_label: dict[Label, float] | None
    """They sum to 0. None where no position has traces on both sides."""
    last: int
    """The sum runs over positions 1 to `last`."""
    num_positions: int
    """Positions with traces on both sides; the mean gap is D over this number."""
    num_left_out: int


def area(found: Curves, last: int) -> Area:
    """D over positions 1..last, from the raw curves."""
    gaps = (found.share[0] - found.share[1])[:last]
    used = ~np.isnan(gaps).any(axis=1)
    num_used = int(used.sum())
    sums = gaps[used].sum(axis=0).tolist()
    by_label = dict(zip(LABELS, sums, strict=True)) if num_used else None
    return Area(by_label, last, num_used, len(gaps) - num_used)


def last_position(found: Curves, min_traces: int) -> int:
    """K*: the last position with `min_traces` traces on both sides; 0 where there is none."""
    enough = np.flatnonzero((found.num_traces >= min_traces).all(axis=0))
    return int(enough[-1]) + 1 if len(enough) else 0


def areas(found: Curves, rule: CurveRule) -> dict[str, Area]:
    """D over 1..last (`early`), over all positions (`full`) and over 1..K* (`kstar`)."""
    return {
        "early": area(found, rule.last),
        "full": area(found, found.share.shape[1]),
        "kstar": area(found, last_position(found, rule.min_traces)),
    }
