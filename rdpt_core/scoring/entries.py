"""One row of `scores`: what of a trace a scorer reads, what it finds, and the row of both.

The entries of a row cover the trace's bytes in order. What the scorer renders itself is summed
apart: its delimiters into `tag_logprob`, its end of turn into `end_logprob`.

Nothing here needs torch, so that logged and served log-probabilities, and every command that only
plans, do without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdpt_core.models.rendering.layout import Layout
from rdpt_core.models.rendering.render import Renderer
from rdpt_core.tables.rows import Problem, ScoreSource, ScoreStatus, TokenScores, Trace, ZoneKind

MOST = 255
"""Bytes of one entry; a longer one is several, of which the first carries the numbers."""

SKIP = -1
"""Index of an entry without numbers."""

COLUMN_TYPES = {
    "logprobs": np.float32,
    "ranks": np.uint32,
    "entropies": np.float16,
    "sum_squares": np.float16,
    "top_mass": np.float16,
    "top_squares": np.float16,
    "blank_logprobs": np.float32,
}
"""Types of the arrays of `Statistics`, as `scores` stores them."""

T = TypeVar("T", bound=np.generic)


def layout_of(
    renderer: Renderer,
    author: str,
    limit: int,
    problem: Problem | None,
    trace: Trace,
    alone: bool = False,
    reasons: dict[str, str] | None = None,
) -> Layout | ScoreStatus:
    """What of a trace a model reads whose longest sequence is `limit` tokens.

    `author` is the model's own signature: its traces are laid by the ids that it sampled. `alone`
    lays a text after its prompt as it stands, whatever its zones. `reasons` gets, by trace id, why
    a trace is an error.
    """
    told = {} if reasons is None else reasons
    if problem is None:
        told[trace.trace_id] = f"trace {trace.trace_id}: its problem is missing"
        return ScoreStatus.ERROR
    try:
        if alone:
            layout = renderer.lay_alone(problem, trace)
        else:
            layout = renderer.lay(problem, trace, sampled=trace.author == author)
    except ValueError as error:
        told[trace.trace_id] = f"trace {trace.trace_id}: {error}"
        return ScoreStatus.ERROR
    if not layout.prompt_ids:
        told[trace.trace_id] = f"trace {trace.trace_id}: its prompt has no tokens"
        return ScoreStatus.ERROR
    return layout.fit(limit) or ScoreStatus.TOO_LONG


@dataclass(frozen=True, slots=True)
class Statistics:
    """What is known of each scored token: parallel arrays, one entry per target."""

    logprobs: NDArray[np.float32]
    ranks: NDArray[np.uint32]
    entropies: NDArray[np.float16]
    sum_squares: NDArray[np.float16]
    top_mass: NDArray[np.float16] | None = None
    """Probability of the k likeliest ids; None unless asked for."""
    top_squares: NDArray[np.float16] | None = None
    blank_logprobs: NDArray[np.float32] | None = None
    """Log-probability that the next id begins with whitespace; None unless requested."""

    def cut(self, sizes: Sequence[int]) -> list[Statistics]:
        """Consecutive stretches of these sizes."""
        columns = {name: getattr(self, name) for name in self.__slots__}
        found = []
        for size, stop in zip(sizes, accumulate(sizes), strict=True):
            some: dict[str, Any] = {
                name: None if column is None else column[stop - size : stop]
                for name, column in columns.items()
            }
            found.append(Statistics(**some))
        return found

    @classmethod
    def of_logprobs(cls, logprobs: ArrayLike, ranks: Sequence[int] | None = None) -> Statistics:
        """Those of a scorer that tells no more: a rank is then missing as 0, the rest as NaN."""
        known = np.array(logprobs, np.float32)
        missing = np.full(len(known), np.nan, np.float16)
        places = np.zeros(len(known)) if ranks is None else np.array(ranks)
        return cls(known, places.astype(np.uint32), missing, missing)

    @classmethod
    def joined(cls, found: Sequence[Statistics]) -> Statistics:
        columns = {name: [getattr(one, name) for one in found] for name in cls.__slots__}
        whole: dict[str, Any] = {
            name: None if parts[0] is None else np.concatenate(parts)
            for name, parts in columns.items()
        }
        return cls(**whole)


def unscored(
    trace: Trace, scorer: str, status: ScoreStatus, source: ScoreSource = ScoreSource.FORWARD
) -> TokenScores:
    """The row of a trace that has no scores under this model."""
    nothing = np.zeros(0)
    return TokenScores(
        trace_id=trace.trace_id,
        scorer=scorer,
        status=status,
        scored_stop=0,
        verbatim=False,
        retokenized=True,
        split=False,
        source=source,
        temperature=1.0,
        topk=None,
        tag_logprob=None,
        num_tag_tokens=0,
        end_logprob=None,
        token_bytes=nothing.astype(np.uint8),
        logprobs=nothing.astype(np.float32),
        ranks=nothing.astype(np.uint32),
        entropies=nothing.astype(np.float16),
        sum_squares=nothing.astype(np.float16),
        top50_mass=None,
        top50_squares=None,
    )


def scored(
    trace: Trace,
    scorer: str,
    layout: Layout,
    found: Statistics,
    split: bool,
    topk: int | None,
    source: ScoreSource = ScoreSource.FORWARD,
) -> TokenScores:
    """`found` has one entry per completion id of the layout, in order."""
    sizes, indices = cover(layout)
    kinds = [piece.kind is ZoneKind.TAG for piece in layout.pieces for _ in piece.token_ids]
    tags = np.flatnonzero(np.array(kinds, bool))
    num_end = len(layout.end_ids)
    return TokenScores(
        trace_id=trace.trace_id,
        scorer=scorer,
        status=ScoreStatus.OK if layout.whole else ScoreStatus.PARTIAL,
        scored_stop=int(sizes.sum(dtype=np.int64)),
        verbatim=layout.verbatim,
        retokenized=layout.retokenized,
        split=split,
        source=source,
        temperature=1.0,
        topk=topk,
        tag_logprob=float(found.logprobs[tags].sum(dtype=np.float64)) if len(tags) else None,
        num_tag_tokens=len(tags),
        end_logprob=float(found.logprobs[-1]) if num_end else None,
        token_bytes=sizes,
        logprobs=_take(found.logprobs, indices),
        ranks=_take(found.ranks, indices),
        entropies=_take(found.entropies, indices),
        sum_squares=_take(found.sum_squares, indices),
        top50_mass=None if found.top_mass is None else _take(found.top_mass, indices),
        top50_squares=None if found.top_squares is None else _take(found.top_squares, indices),
    )


def cover(layout: Layout) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Lengths of the entries in bytes, and for each the completion id that it counts or SKIP."""
    sizes: list[int] = []
    indices: list[int] = []
    at = 0
    for piece in layout.pieces:
        if piece.kind is not ZoneKind.TAG:
            for offset, length in enumerate(piece.lengths):
                _append(sizes, indices, length, at + offset)
        elif piece.num_bytes:
            _append(sizes, indices, piece.num_bytes, SKIP)
        at += len(piece.token_ids)
    return np.array(sizes, np.uint8), np.array(indices, np.int64)


def _append(sizes: list[int], indices: list[int], length: int, index: int) -> None:
    sizes.append(min(length, MOST))
    indices.append(index)
    for left in range(length - MOST, 0, -MOST):
        sizes.append(min(left, MOST))
        indices.append(SKIP)


def _take(values: NDArray[T], indices: NDArray[np.int64]) -> NDArray[T]:
    """Numbers by entry; entries without any are NaN, or 0 for a rank."""
    missing = 0 if np.issubdtype(values.dtype, np.integer) else np.nan
    return np.append(values, np.array([missing], values.dtype))[indices]
