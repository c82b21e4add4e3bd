"""The selectors: each a formula that gives every candidate of a pool its merit.

A merit is larger for what is kept, so what a selector keeps low is negated. NaN is a candidate
without merit: one of the numbers of its formula is missing. It cannot be picked, and is counted.

Notation: T teacher, S student, s a sentence, t a token of the student, pT and pS the sentence
probabilities of method.md section 3, `rank_t` 1 + the number of ids with a larger logit. All but
the teacher's own need one pass of S alone. LARK is not here: no stored column holds the top-50
statistics that it needs, and it has no approximation that deserves its name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rdpt_core.selection.candidates import CandidateRecord
from rdpt_core.tables import ids

Floats = NDArray[np.float64]
Pool = Sequence[CandidateRecord]
"""The eligible candidates, of all questions."""

LENGTH_TOLERANCE = 0.1
"""Tolerance of `count_length_matched`, as a share of the random arm's length."""


def uniform(seed: int, item: str) -> float:
    """In [0, 1), from the seed and the item alone: the same in any order and any company."""
    return int(ids.digest("order", seed, item)[:13], 16) / 16**13


def _column(pool: Pool, name: str) -> Floats:
    """A field of all records; None is NaN."""
    return np.array([getattr(record, name) for record in pool], dtype=np.float64)


def _quotient(top: Floats, bottom: Floats) -> Floats:
    """NaN where the bottom is 0."""
    return np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1.0), np.nan)


def _student_sum(pool: Pool, name: str) -> Floats:
    """NaN where there is no token to sum over: 0 would be the best log-probability there is."""
    return np.where(_column(pool, "num_scored_tokens") > 0, _column(pool, name), np.nan)


# ---------------------------------------------------------------- teacher and student


def teacher_count(pool: Pool, seed: int) -> Floats:
    """Keep high: `#{ s : pT(s) - pS(s) > beta }`. The method (arXiv 2512.20908)."""
    return np.where(_column(pool, "complete") > 0, _column(pool, "num_teacher"), np.nan)


def teacher_count_min(pool: Pool, seed: int) -> Floats:
    """Keep low: the same count. An ablation of the paper."""
    return -teacher_count(pool, seed)


def teacher_ratio(pool: Pool, seed: int) -> Floats:
    """Keep high: `count / #sentences`. An ablation of the paper."""
    return _quotient(teacher_count(pool, seed), _column(pool, "num_sentences"))


def soft_count(pool: Pool, seed: int) -> Floats:
    """Keep high: `sum_s sigmoid((pT - pS - beta) / h)`, the count without its step; h is
    SOFT_WIDTH. A control of rdpt (method.md section 4)."""
    return _column(pool, "soft_count")


def mean_log_ratio(pool: Pool, seed: int) -> Floats:
    """Keep high: `mean_s (log pT - log pS)`, without a threshold. A control of rdpt."""
    return _quotient(_column(pool, "sum_log_ratio"), _column(pool, "num_sentences"))


# ---------------------------------------------------------------- length and chance


def longest(pool: Pool, seed: int) -> Floats:
    """Keep high: the student's tokens. An ablation of the paper, and its main confound."""
    return _column(pool, "num_tokens")


def shortest(pool: Pool, seed: int) -> Floats:
    """Keep low: the student's tokens. A control of rdpt."""
    return -longest(pool, seed)


def random(pool: Pool, seed: int) -> Floats:
    """A number in [0, 1) from digest(seed, trace id): the paper's Vanilla, seeded."""
    return np.array([uniform(seed, record.trace_id) for record in pool], dtype=np.float64)


def count_length_matched(pool: Pool, seed: int) -> Floats:
    """Keep high: the teacher count, among candidates within 10% of the tokens of the random arm's
    pick for the question; no merit outside. A control of rdpt: count at the length of chance."""
    lengths, chance = longest(pool, seed), random(pool, seed)
    drawn: dict[str, int] = {}
    for i, record in enumerate(pool):
        best = drawn.setdefault(record.problem_id, i)
        if chance[i] > chance[best]:
            drawn[record.problem_id] = i
    target = lengths[[drawn[record.problem_id] for record in pool]] if drawn else lengths
    near = np.abs(lengths - target) <= LENGTH_TOLERANCE * target
    return np.where(near, teacher_count(pool, seed), np.nan)


def count_length_residual(pool: Pool, seed: int) -> Floats:
    """Keep high: `count - E[count given #sentences]`, the expectation being the isotonic regression
    of count on the number of sentences over the whole pool. A control of rdpt: more Teacher
    sentences than its length explains. The pool is the data set, so a merit moves with it."""
    from scipy.optimize import isotonic_regression  # as in candidates.py: slow to import

    counts, lengths = teacher_count(pool, seed), _column(pool, "num_sentences")
    residuals = np.full(len(counts), np.nan)
    known = ~np.isnan(counts)
    if known.any():
        _, group, sizes = np.unique(lengths[known], return_inverse=True, return_counts=True)
        means = np.bincount(group, counts[known]) / sizes
        expected = isotonic_regression(means, weights=sizes).x
        residuals[known] = counts[known] - expected[group]
    return residuals


# ---------------------------------------------------------------- the student alone


def grape_mean(pool: Pool, seed: int) -> Floats:
    """Keep high: `mean_t log P_S(y_t)`. GRAPE (arXiv 2502.04194) ranks by the student's
    conditional probability and does not say whether per token, so there are two of it."""
    return _quotient(_column(pool, "logprob"), _column(pool, "num_scored_tokens"))


def grape_sum(pool: Pool, seed: int) -> Floats:
    """Keep high: `sum_t log P_S(y_t)`; prefers short traces. GRAPE, not normalised."""
    return _student_sum(pool, "logprob")


def ppl(pool: Pool, seed: int) -> Floats:
    """Keep low: `exp(-mean_t log P_S(y_t))`; the order of `grape_mean`, on another scale."""
    return -np.exp(np.minimum(-grape_mean(pool, seed), 700.0))  # beyond it the exponential is inf


def entropy(pool: Pool, seed: int) -> Floats:
    """Keep high: `mean_t H(P_S(. given what is before t))` over the full vocabulary, in nats; the
    repository wangbing1416/ASLEC has it over a renormalised top 5."""
    return _quotient(_column(pool, "sum_entropy"), _column(pool, "num_scored_tokens"))


def entropy_min(pool: Pool, seed: int) -> Floats:
    """Keep low: the same mean entropy."""
    return -entropy(pool, seed)


def rsr(pool: Pool, seed: int) -> Floats:
    """Keep low: `sum_t min(rank_t, 100) / max(sum_t -log P_S(y_t), 1e-12)`, the rank-surprisal
    ratio of the repository UmeanNever/RankSurprisalRatio. Noisy on short texts."""
    surprisal = -_student_sum(pool, "logprob")
    return -_column(pool, "sum_rank100") / np.maximum(surprisal, 1e-12)


SELECTORS: dict[str, Callable[[Pool, int], Floats]] = {
    formula.__name__: formula
    for formula in (
        teacher_count,
        teacher_count_min,
        teacher_ratio,
        soft_count,
        mean_log_ratio,
        longest,
        shortest,
        random,
        count_length_matched,
        count_length_residual,
        grape_mean,
        grape_sum,
        ppl,
        entropy,
        entropy_min,
        rsr,
    )
}
"""By name. An arm that matches the tokens of another one is any of these (`selection.py`)."""

DRAWN = (random.__name__, count_length_matched.__name__)
"""Those that depend on the seed."""
