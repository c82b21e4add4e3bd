"""Which traces to learn from: one pool, then one pick per question by each selector's merit.

The distinction: eligibility is decided once, before any selector, so that all arms choose from the
same traces. A selector sees `CandidateRecord`s alone, a few numbers per trace, made part by part;
token arrays never meet here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from rdpt_core import ids
from rdpt_core.provenance import LABELS, MISSING, LabelRule, label, probabilities
from rdpt_core.recipe import Rule
from rdpt_core.rows import (
    Candidate,
    FinishReason,
    Grade,
    Label,
    Outcome,
    Pick,
    ScoreStatus,
    SentenceScore,
    TokenScores,
    Trace,
)

ELIGIBLE = "eligible"
TOKEN_TOLERANCE = 0.01
"""Of the total that a token-matched arm must reach."""


class PoolRule(Rule):
    eligible: Literal["correct", "finished", "all"] = "correct"
    """`finished`: not cut by the length limit; an import's unknown ending counts as finished."""
    max_tokens: int | None = Field(default=None, ge=1)
    """In the student's tokens, as they would be trained on."""


class Selector(Rule):
    name: Literal["teacher_count", "random", "longest"]
    match_tokens: str | None = None
    """Name of the arm whose total tokens this one matches within 1%, as many examples."""

    @property
    def label(self) -> str:
        """The arm's name in tables: `random`, or `random_matched_teacher_count`."""
        return f"{self.name}_matched_{self.match_tokens}" if self.match_tokens else self.name


# ---------------------------------------------------------------- the pool


def num_student_tokens(score: TokenScores) -> int:
    """Tokens that the student learns from this trace: those scored, and its own delimiters."""
    return int(np.count_nonzero(np.isfinite(score.logprobs))) + score.num_tag_tokens


def pool(
    traces: Iterable[Trace],
    grades: Iterable[Grade],
    scores_teacher: Iterable[TokenScores],
    scores_student: Iterable[TokenScores],
    rule: PoolRule,
) -> Iterator[Candidate]:
    """One row per trace, with `eligible` or the first rule that it breaks, in this order: its
    outcome (the outcome's name), its scores (`teacher_too_long`, `student_error`, ...), no token to
    learn from (`empty`), the length cap (`over_max_tokens`)."""
    outcome_of = {grade.trace_id: grade.outcome for grade in grades}
    teacher = {score.trace_id: score.status for score in scores_teacher}
    student = {score.trace_id: (score.status, score) for score in scores_student}
    for trace in traces:
        outcome = outcome_of.get(trace.trace_id, Outcome.UNGRADED)
        status, score = student[trace.trace_id]
        reason = (
            _outcome_reason(trace, outcome, rule)
            or _status_reason("teacher", teacher[trace.trace_id])
            or _status_reason("student", status)
            or _length_reason(score, rule)
            or ELIGIBLE
        )
        yield Candidate(trace.trace_id, reason == ELIGIBLE, reason)


def _outcome_reason(trace: Trace, outcome: Outcome, rule: PoolRule) -> str | None:
    if rule.eligible == "correct" and outcome != Outcome.CORRECT:
        return outcome.value
    cut = trace.finish_reason == FinishReason.LENGTH or outcome == Outcome.TRUNCATED
    return Outcome.TRUNCATED.value if rule.eligible == "finished" and cut else None


def _status_reason(role: str, status: ScoreStatus) -> str | None:
    return None if status == ScoreStatus.OK else f"{role}_{status}"


def _length_reason(score: TokenScores, rule: PoolRule) -> str | None:
    num_tokens = num_student_tokens(score)
    if num_tokens == score.num_tag_tokens:
        return "empty"
    over = rule.max_tokens is not None and num_tokens > rule.max_tokens
    return "over_max_tokens" if over else None


# ---------------------------------------------------------------- candidates in numbers


@dataclass(frozen=True, slots=True)
class CandidateRecord:
    """One candidate, all that selectors and the statistics of the pool need of it."""

    problem_id: str
    trace_id: str
    reason: str
    """As in the pool: `eligible` or the first rule broken."""
    num_tokens: int
    """In the student's tokens."""
    num_sentences: int
    """Outside tags, scored under both models."""
    num_missing: int
    """Outside tags, without a score under one model or both."""
    num_teacher: int
    """Sentences with pT - pS > beta."""
    num_student: int
    """Sentences with pS - pT > beta."""

    @property
    def eligible(self) -> bool:
        return self.reason == ELIGIBLE


def candidates(
    traces: Iterable[Trace],
    pool: Iterable[Candidate],
    teacher: Sequence[SentenceScore],
    student: Sequence[SentenceScore],
    num_tokens: Mapping[str, int],
    rule: LabelRule,
) -> Iterator[CandidateRecord]:
    """The records of one part, in the order of its traces; `num_tokens` maps trace ids to
    `num_student_tokens`. `teacher` and `student` hold the same sentences."""
    reason_of = {row.trace_id: row.reason for row in pool}
    counts = _label_counts(teacher, student, rule)
    for trace in traces:
        found = counts[trace.trace_id]
        yield CandidateRecord(
            problem_id=trace.problem_id,
            trace_id=trace.trace_id,
            reason=reason_of[trace.trace_id],
            num_tokens=num_tokens[trace.trace_id],
            num_sentences=sum(found.values()) - found[MISSING],
            num_missing=found[MISSING],
            num_teacher=found[LABELS.index(Label.TEACHER)],
            num_student=found[LABELS.index(Label.STUDENT)],
        )


def _label_counts(
    teacher: Sequence[SentenceScore], student: Sequence[SentenceScore], rule: LabelRule
) -> dict[str, dict[int, int]]:
    """Three-way labels per trace: code to count."""
    of_student = {(row.trace_id, row.position): row for row in student}
    try:
        paired = [of_student[row.trace_id, row.position] for row in teacher]
    except KeyError as missing:
        raise ValueError(f"sentence {missing} is scored by the teacher alone") from missing
    codes = label(probabilities(teacher, rule), probabilities(paired, rule), None, rule).label
    counts: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for row, code in zip(teacher, codes.tolist(), strict=True):
        counts[row.trace_id][code] += 1
    return counts


# ---------------------------------------------------------------- picks


def merit(record: CandidateRecord, selector: Selector, seed: int) -> float:
    """Larger is better. Random merit is a number in [0, 1) from the seed and the trace alone, so
    it is the same in any order and beside any other candidates."""
    match selector.name:
        case "teacher_count":
            return float(record.num_teacher)
        case "longest":
            return float(record.num_tokens)
        case "random":
            return _uniform(seed, record.trace_id)


def _uniform(seed: int, item: str) -> float:
    return int(ids.digest("order", seed, item)[:13], 16) / 16**13


def select(
    records: Iterable[CandidateRecord],
    selector: Selector,
    seed: int,
    num_examples: int | None = None,
    target_tokens: int | None = None,
) -> list[Pick]:
    """One pick per question: the eligible candidate of most merit; ties go to the shorter trace in
    the student's tokens, then to the smaller id (method.md section 9).

    `num_examples` takes that many questions in an order given by the seed, the same for every
    selector, so that all arms train on the same questions. `target_tokens` is the total of the arm
    that `match_tokens` names; `token_gap` says how close the picks come. Rank 1 has most merit.
    """
    if (target_tokens is None) != (selector.match_tokens is None):
        raise ValueError(
            f"selector {selector.label}: target_tokens is {target_tokens}; give the total of the "
            "arm that match_tokens names, or neither"
        )
    ranked = ranked_questions(records, selector, seed)
    chosen = sorted(ranked, key=lambda problem: (_uniform(seed, problem), problem))[:num_examples]
    picks = dict.fromkeys(chosen, 0)
    if target_tokens is not None:
        picks = _matched(ranked, chosen, target_tokens)
    best = [(merit(ranked[q][i], selector, seed), ranked[q][i]) for q, i in picks.items()]
    best.sort(key=lambda pair: (-pair[0], pair[1].num_tokens, pair[1].trace_id))
    return [Pick(record.trace_id, rank, value, record.num_tokens)
            for rank, (value, record) in enumerate(best, start=1)]  # fmt: skip


def ranked_questions(
    records: Iterable[CandidateRecord], selector: Selector, seed: int
) -> dict[str, list[CandidateRecord]]:
    """Per question its eligible candidates, the best first; questions without one are left out."""
    ranked: dict[str, list[CandidateRecord]] = defaultdict(list)
    for record in records:
        if record.eligible:
            ranked[record.problem_id].append(record)
    for found in ranked.values():
        found.sort(key=lambda one: (-merit(one, selector, seed), one.num_tokens, one.trace_id))
    return dict(ranked)


def _matched(
    ranked: Mapping[str, list[CandidateRecord]], questions: list[str], target: int
) -> dict[str, int]:
    """Question to the index of its pick, such that the tokens sum to the target within 1%.

    Starts from the arm's own picks and visits the questions in their seeded order. A question
    whose pick can be swapped so that the total comes nearer takes the first such candidate in the
    arm's own order, so the arm stays as it was wherever the target allows. It ends within the
    tolerance, or where no swap helps: then the target is out of reach.
    """
    picks = dict.fromkeys(questions, 0)
    gap = target - sum(ranked[problem][0].num_tokens for problem in questions)
    improved = True
    while improved:
        improved = False
        for problem in questions:
            if abs(gap) <= TOKEN_TOLERANCE * target:
                return picks
            found = ranked[problem]
            now = found[picks[problem]].num_tokens
            steps = [one.num_tokens - now for one in found]
            swap = next((i for i, step in enumerate(steps) if abs(gap - step) < abs(gap)), None)
            if swap is not None:
                gap -= steps[swap]
                picks[problem] = swap
                improved = True
    return picks


def total_tokens(picks: Iterable[Pick]) -> int:
    return sum(pick.num_tokens for pick in picks)
