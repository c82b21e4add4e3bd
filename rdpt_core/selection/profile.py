"""What a pool and a selection look like: ties, tokens, overlap with length, stability.

Kept apart from `selection.py` because nothing here decides anything: these numbers say how far an
arm can be told from *longest* (docs/method.md section 6), and how close a matched arm came.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rdpt_core.selection.candidates import OTHER_BETAS, CandidateRecord
from rdpt_core.selection.picks import (
    TOKEN_TOLERANCE,
    Ranked,
    Selector,
    ranked_questions,
    select,
    total_tokens,
)
from rdpt_core.statistics.effects import Estimate, exact, nothing, proportion, with_note
from rdpt_core.tables.rows import Pick

TEACHER_COUNT, LONGEST = Selector(name="teacher_count"), Selector(name="longest")
SAME_ARM = 0.8
"""Overlap with `longest` above which a pool cannot tell the two arms apart."""


def token_gap(picks: Sequence[Pick], target_tokens: int) -> Estimate:
    """Relative distance of the tokens to the target, (tokens - target) / target; the note says so
    when a token-matched arm could not come within 1%."""
    if target_tokens == 0:
        return nothing("the arm to match has no tokens")
    gap = (total_tokens(picks) - target_tokens) / target_tokens
    out = abs(gap) > TOKEN_TOLERANCE
    note = f"not within 1%: no swap of picks comes nearer than {gap:+.1%}" if out else None
    return exact(gap, len(picks), note)


def tie_rate(records: Iterable[CandidateRecord], selector: Selector, seed: int) -> Estimate:
    """Share of questions whose highest merit is held by several eligible candidates."""
    ranked = ranked_questions(records, selector, seed).values()
    tops = [[one.merit for one in found[:2]] for found in ranked]
    return proportion(sum(len(top) == 2 and top[0] == top[1] for top in tops), len(tops))


def agreement(picks: Sequence[Pick], others: Sequence[Pick]) -> Estimate:
    """`A(b, b')`: share of questions with the same pick; both arms pick once per question."""
    same = {pick.trace_id for pick in picks} & {pick.trace_id for pick in others}
    return proportion(len(same), max(len(picks), len(others)))


def chance_agreement(records: Iterable[CandidateRecord]) -> Estimate:
    """Agreement of two random arms: mean of 1 / K_q over questions with K_q > 0 eligible traces."""
    sizes: dict[str, int] = defaultdict(int)
    for record in records:
        sizes[record.problem_id] += record.eligible
    shares = [1 / size for size in sizes.values() if size]
    return exact(float(np.mean(shares)), len(shares)) if shares else nothing()


def num_without_merit(
    records: Sequence[CandidateRecord], selector: Selector, seed: int
) -> Estimate:
    """Eligible candidates that the selector cannot pick, since a number of its formula is missing
    or, for `count_length_matched`, their length is another."""
    ranked = ranked_questions(records, selector, seed).values()
    num_eligible = sum(record.eligible for record in records)
    note = "n counts eligible candidates"
    return exact(float(num_eligible - sum(map(len, ranked))), num_eligible, note)


def longest_is_most_teacher(records: Iterable[CandidateRecord]) -> Estimate:
    """Share of questions, of those with at least two eligible candidates, where the pick of
    `teacher_count` is the pick of `longest`."""
    kept = list(records)
    by_count = ranked_questions(kept, TEACHER_COUNT, 0)
    by_length = ranked_questions(kept, LONGEST, 0)
    several = [q for q, found in by_count.items() if len(found) > 1]
    same = sum(by_count[q][0].record == by_length[q][0].record for q in several)
    found = proportion(same, len(several))
    if found.value is None or found.value <= SAME_ARM:
        return found
    return with_note(found, f"above {SAME_ARM}: this pool cannot tell the count from the length")


# ---------------------------------------------------------------- how firm the picks are


def stability(records: Iterable[CandidateRecord]) -> dict[float, Estimate]:
    """`A(b, b')` of `teacher_count` for each of OTHER_BETAS, as a factor on beta: share of
    questions whose pick stays when beta moves. Two random arms agree as `chance_agreement` says."""
    kept = [record for record in records if record.num_teacher_low is not None]
    picks = select(kept, TEACHER_COUNT, 0)
    shares = {}
    for factor, count in zip(OTHER_BETAS, ("num_teacher_low", "num_teacher_high"), strict=True):
        moved = [replace(record, num_teacher=getattr(record, count)) for record in kept]
        shares[factor] = agreement(picks, select(moved, TEACHER_COUNT, 0))
    return shares


def robust_picks(records: Iterable[CandidateRecord]) -> Estimate:
    """Share of questions, of those with at least two eligible candidates, where the pick of
    `teacher_count` leads by more sentences than the best two have near beta: noise in the scores
    cannot turn it."""
    ranked = ranked_questions(records, TEACHER_COUNT, 0).values()
    leads = [(found[0], found[1]) for found in ranked if len(found) > 1]
    return proportion(sum(_is_robust(best, second) for best, second in leads), len(leads))


def _is_robust(best: Ranked, second: Ranked) -> bool:
    near = best.record.num_near_beta, second.record.num_near_beta
    if near[0] is None or near[1] is None:
        return False
    return best.merit - second.merit > near[0] + near[1]


# ---------------------------------------------------------------- count and length


@dataclass(frozen=True, slots=True)
class LengthDecomposition:
    """Within questions, `Var(log count) = Var(log n) + Var(log rate) + 2 Cov(log n, log rate)`,
    with count the Teacher sentences, n the sentences and rate their quotient."""

    var_log_count: float | None
    var_log_n: float | None
    var_log_rate: float | None
    cov: float | None
    share_of_n: float | None
    """`Cov(log n, log count) / Var(log count)`: of the count's spread, what goes with length."""
    spearman: float | None
    """Mean over questions of the rank correlation of count and n; None where none is defined."""
    num_used: int
    """Eligible candidates with a Teacher sentence, in questions with at least two of them."""
    num_zero: int
    """Eligible candidates without a Teacher sentence, left out."""
    num_spearman: int
    """Questions with at least three eligible candidates in which both numbers vary."""


def length_decomposition(records: Iterable[CandidateRecord]) -> LengthDecomposition:
    """Method.md section 9; logs are taken about their question's mean."""
    by_length = ranked_questions(records, LONGEST, 0).values()
    ranked = [[one.record for one in found] for found in by_length]
    num_zero = sum(one.num_teacher == 0 for found in ranked for one in found)
    logs = [_centred_logs(found) for found in ranked]
    used = np.concatenate([part for part in logs if len(part) > 1] or [np.empty((0, 2))])
    count, n = used[:, 0], used[:, 1]
    rate = count - n
    spearmans = [value for found in ranked if (value := _spearman(found)) is not None]
    if not len(used):
        return LengthDecomposition(
            None, None, None, None, None, _mean(spearmans), 0, num_zero, len(spearmans)
        )
    var_count = float((count**2).mean())
    share = float((n * count).mean()) / var_count if var_count > 0 else None
    return LengthDecomposition(
        var_log_count=var_count,
        var_log_n=float((n**2).mean()),
        var_log_rate=float((rate**2).mean()),
        cov=float((n * rate).mean()),
        share_of_n=share,
        spearman=_mean(spearmans),
        num_used=len(used),
        num_zero=num_zero,
        num_spearman=len(spearmans),
    )


def _centred_logs(found: list[CandidateRecord]) -> NDArray[np.float64]:
    """Rows of (log count, log n) about their means, of the candidates with a Teacher sentence."""
    logs = np.log([[one.num_teacher, one.num_sentences] for one in found if one.num_teacher])
    return logs - logs.mean(axis=0) if len(logs) else np.empty((0, 2))


def _spearman(found: list[CandidateRecord]) -> float | None:
    from scipy.stats import spearmanr  # takes a second, and every command imports this module

    counts = [one.num_teacher for one in found]
    lengths = [one.num_sentences for one in found]
    if len(found) < 3 or len(set(counts)) == 1 or len(set(lengths)) == 1:
        return None
    return float(spearmanr(counts, lengths).statistic)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
