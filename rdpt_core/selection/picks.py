"""Which traces to learn from: one pool, then one pick per question by each selector's merit.

The distinction: eligibility is decided once, before any selector, so that all arms choose from the
same traces. A selector (`selectors.py`) sees `CandidateRecord`s alone, a few numbers per trace;
token arrays never meet here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field, field_validator, model_validator

from rdpt_core.selection.candidates import ELIGIBLE, CandidateRecord
from rdpt_core.selection.selectors import DRAWN, SELECTORS, uniform
from rdpt_core.tables.recipe import Rule
from rdpt_core.tables.rows import (
    Candidate,
    FinishReason,
    Grade,
    Outcome,
    Pick,
    ScoreStatus,
    TokenScores,
    Trace,
)
from rdpt_core.tables.spelling import hint

TOKEN_TOLERANCE = 0.01
"""Tolerance of a token-matched arm, as a share of the total that it must reach."""


class PoolRule(Rule):
    eligible: Literal["correct", "finished", "all"] = "correct"
    """`finished`: not cut by the length limit; an import's unknown ending counts as finished. A
    trace that a filter, a tool call or an error ended is never eligible."""
    max_tokens: int | None = Field(default=None, ge=1)
    """In the student's tokens, as they would be trained on."""


class Selector(Rule):
    name: str
    """A selector of docs/method.md, section 6."""
    match_tokens: str | None = None
    """Name of the arm whose total tokens this one matches within 1%, as many examples."""
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    """Seed of its draw, for a selector that draws; left out, the experiment's. Entries that differ
    in it alone are draws of one arm; three or more, and its intervals cover the draw."""

    @property
    def arm(self) -> str:
        """The arm's name in tables: `random`, or `random_matched_teacher_count`."""
        return f"{self.name}_matched_{self.match_tokens}" if self.match_tokens else self.name

    @property
    def label(self) -> str:
        """The name of one draw of the arm: `random_draw1`; that of the arm where no seed is set."""
        return self.arm if self.seed is None else f"{self.arm}_draw{self.seed}"

    @property
    def draws(self) -> bool:
        """True if its picks depend on a seed."""
        return self.name in DRAWN

    @field_validator("name")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in SELECTORS:
            known = f"{hint(name, SELECTORS)}selectors: {', '.join(SELECTORS)}"
            raise ValueError(f"{name!r} is not a selector; {known}")
        return name

    @model_validator(mode="after")
    def _uses_its_seed(self) -> Selector:
        if self.seed is not None and not self.draws:
            raise ValueError(
                f"selector {self.name!r} has seed = {self.seed} but draws nothing: leave `seed` "
                f"out, it is for {' and '.join(DRAWN)}"
            )
        return self


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
    """One row per trace, with `eligible` or the first rule that it breaks, in this order: what
    ended it (`content_filter`, `tool_calls`, `error`), its outcome (the outcome's name), its scores
    (`teacher_too_long`, `student_error`, ...), no token to learn from (`empty`), the length cap
    (`over_max_tokens`)."""
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
    if trace.finish_reason.is_unfinished:
        return trace.finish_reason.value
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


# ---------------------------------------------------------------- picks


class Ranked(NamedTuple):
    """A candidate under a selector."""

    merit: float
    """Larger is better."""
    record: CandidateRecord


def select(
    records: Iterable[CandidateRecord],
    selector: Selector,
    seed: int,
    num_examples: int | None = None,
    target_tokens: int | None = None,
) -> list[Pick]:
    """One pick per question: the eligible candidate of most merit; ties go to the shorter trace in
    the student's tokens, then to the smaller id (docs/method.md section 6). A candidate without
    merit is no pick, and a question without any merit has none.

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
    chosen = sorted(ranked, key=lambda problem: (uniform(seed, problem), problem))[:num_examples]
    picks = dict.fromkeys(chosen, 0)
    if target_tokens is not None:
        picks = _matched(ranked, chosen, target_tokens)
    best = sorted((ranked[question][i] for question, i in picks.items()), key=_order)
    return [
        Pick(one.record.trace_id, rank, one.merit, one.record.num_tokens)
        for rank, one in enumerate(best, start=1)
    ]


def ranked_questions(
    records: Iterable[CandidateRecord], selector: Selector, seed: int
) -> dict[str, list[Ranked]]:
    """Per question its eligible candidates, the best first; those without merit are left out, and
    so are questions without one. `seed` is for a selector without its own."""
    drawn = seed if selector.seed is None else selector.seed
    kept = [record for record in records if record.eligible]
    merits = (SELECTORS[selector.name](kept, drawn) + 0.0).tolist()  # no -0.0
    ranked: dict[str, list[Ranked]] = defaultdict(list)
    for value, record in zip(merits, kept, strict=True):
        if not math.isnan(value):
            ranked[record.problem_id].append(Ranked(value, record))
    for found in ranked.values():
        found.sort(key=_order)
    return dict(ranked)


def _order(one: Ranked) -> tuple[float, int, str]:
    return -one.merit, one.record.num_tokens, one.record.trace_id


def _matched(
    ranked: Mapping[str, list[Ranked]], questions: Sequence[str], target: int
) -> dict[str, int]:
    """Question to the index of its pick, such that the tokens sum to the target within 1%.

    Starts from the arm's own picks and visits the questions in their seeded order. A question
    whose pick can be swapped so that the total comes nearer takes the first such candidate in the
    arm's own order, so the arm stays as it was wherever the target allows. It ends within the
    tolerance, or where no swap helps: then the target is out of reach.
    """
    picks = dict.fromkeys(questions, 0)
    gap = target - sum(ranked[problem][0].record.num_tokens for problem in questions)
    improved = True
    while improved:
        improved = False
        for problem in questions:
            if abs(gap) <= TOKEN_TOLERANCE * target:
                return picks
            found = ranked[problem]
            now = found[picks[problem]].record.num_tokens
            steps = [one.record.num_tokens - now for one in found]
            swap = next((i for i, step in enumerate(steps) if abs(gap - step) < abs(gap)), None)
            if swap is not None:
                gap -= steps[swap]
                picks[problem] = swap
                improved = True
    return picks


def total_tokens(picks: Iterable[Pick]) -> int:
    return sum(pick.num_tokens for pick in picks)
