"""A candidate in a few numbers: sums over its sentences, all that a selector sees of it.

Sentences come as parallel arrays, from the store's parts or from a table file; one code sums both.
Two things look alike in a table and are kept apart: a sentence that owns no token under a model (a
bracket that its tokenizer joined to the word before), which adds nothing, and one whose score is
missing, which makes every sum that needs it missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdpt_core.provenance.labels import LABELS, MISSING, LabelRule, label, log_probabilities
from rdpt_core.tables.rows import Candidate, Label, SentenceScore, Trace

Bools = NDArray[np.bool_]
Codes = NDArray[np.int8]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ELIGIBLE = "eligible"
SOFT_WIDTH = 0.05
"""`h` of the soft count, half of the published beta: towards 0 it is the count, and a large one
makes it the sum of the gaps."""
NEAR_BETA = 0.02
"""A sentence whose gap is that near to beta may change its label with the scorer's noise; 12% of
the sentences of DASD's figure 5 are."""
OTHER_BETAS = (0.5, 1.5)
"""Times beta: the 0.05 and 0.15 that are published beside 0.1."""


@dataclass(frozen=True, slots=True)
class CandidateRecord:
    """One candidate, all that selectors and the statistics of the pool need of it."""

    problem_id: str
    trace_id: str
    reason: str
    """Reason in the pool: `eligible` or the first rule broken."""
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
    complete: bool = True
    """True if every sentence that owns tokens under both models has its label."""
    soft_count: float | None = None
    """Sum of sigmoid((pT - pS - beta) / h). Sums are None where one of their numbers is missing."""
    sum_log_ratio: float | None = None
    """Sum of log pT - log pS, in nats."""
    num_near_beta: int | None = None
    """Sentences with |pT - pS - beta| <= NEAR_BETA."""
    num_teacher_low: int | None = None
    """Teacher sentences at the first of OTHER_BETAS."""
    num_teacher_high: int | None = None
    num_scored_tokens: int = 0
    """The student's tokens that the sums below are over; its delimiters are not among them."""
    logprob: float | None = None
    """The student's, summed over tokens."""
    sum_entropy: float | None = None
    """The student's, nats."""
    sum_rank100: float | None = None
    """Sum of min(rank, 100) under the student."""

    @property
    def eligible(self) -> bool:
        return self.reason == ELIGIBLE


@dataclass(frozen=True, slots=True)
class CandidateSentences:
    """Sentences outside tags as parallel arrays; NaN, or the code MISSING, where a number is not
    known."""

    owner: Ints
    """Index of the candidate."""
    label: Codes
    """Three-way, an index into LABELS."""
    gap: Floats
    """pT - pS."""
    log_ratio: Floats
    """log pT - log pS."""
    tokenless: Bools
    """Owns no token under one of the models, so it counts in no sum over sentences."""
    num_tokens: Ints
    """The student's, as all that follow."""
    logprob: Floats
    """0 where the student has no token of the sentence."""
    sum_entropy: Floats
    sum_rank100: Floats


def candidates(
    traces: Sequence[Trace],
    pool: Iterable[Candidate],
    teacher: Sequence[SentenceScore],
    student: Sequence[SentenceScore],
    num_tokens: Mapping[str, int],
    rule: LabelRule,
) -> Iterator[CandidateRecord]:
    """The records of one part, in the order of its traces; `num_tokens` maps trace ids to
    `num_student_tokens`. `teacher` and `student` hold the same sentences.

    An eligible trace is scored in full under both models, so its sentences without a score are
    those that own no token.
    """
    reason_of = {row.trace_id: row.reason for row in pool}
    index = {trace.trace_id: i for i, trace in enumerate(traces)}
    reasons = [reason_of[trace_id] for trace_id in index]
    owner = np.array([index[row.trace_id] for row in teacher], dtype=np.int64)
    full = np.array([reason == ELIGIBLE for reason in reasons], dtype=bool)[owner]
    yield from records(
        [trace.problem_id for trace in traces],
        list(index),
        reasons,
        [num_tokens[trace_id] for trace_id in index],
        _sentences(owner, full, teacher, _paired(teacher, student), rule),
        rule,
    )


def _paired(
    teacher: Sequence[SentenceScore], student: Sequence[SentenceScore]
) -> list[SentenceScore]:
    """The student's rows in the order of the teacher's."""
    of_student = {(row.trace_id, row.position): row for row in student}
    try:
        return [of_student[row.trace_id, row.position] for row in teacher]
    except KeyError as missing:
        raise ValueError(f"sentence {missing} is scored by the teacher alone") from missing


def _sentences(
    owner: Ints,
    full: Bools,
    teacher: Sequence[SentenceScore],
    student: Sequence[SentenceScore],
    rule: LabelRule,
) -> CandidateSentences:
    log_p = [log_probabilities(rows, rule) for rows in (teacher, student)]
    p_teacher, p_student = np.exp(log_p[0]), np.exp(log_p[1])
    empty = np.isnan(log_p[1]) & full
    sums = [
        [row.logprob for row in student],
        [row.sum_entropy for row in student],
        [row.sum_rank100 for row in student],
    ]
    logprob, entropy, rank = (np.where(empty, 0.0, np.array(one, dtype=np.float64)) for one in sums)
    return CandidateSentences(
        owner=owner,
        label=label(p_teacher, p_student, None, rule).label,
        gap=p_teacher - p_student,
        log_ratio=log_p[0] - log_p[1],
        tokenless=empty | (np.isnan(log_p[0]) & full),
        num_tokens=np.array([row.num_tokens for row in student], dtype=np.int64),
        logprob=logprob,
        sum_entropy=entropy,
        sum_rank100=rank,
    )


def records(
    problem_ids: Sequence[str],
    trace_ids: Sequence[str],
    reasons: Sequence[str],
    num_tokens: Sequence[int],
    sentences: CandidateSentences,
    rule: LabelRule,
) -> Iterator[CandidateRecord]:
    """One record per candidate, in the order of `trace_ids`, which `sentences.owner` indexes."""
    size = len(trace_ids)
    columns = (
        *_of_labels(sentences, size),
        *_of_gaps(sentences, size, rule.beta),
        *_of_student(sentences, size),
    )
    for values in zip(problem_ids, trace_ids, reasons, num_tokens, *columns, strict=True):
        yield CandidateRecord(*values)


def _of_labels(s: CandidateSentences, size: int) -> Iterator[list[int] | list[bool]]:
    """`num_sentences` to `complete`."""
    missing = s.label == MISSING
    teacher, student = (s.label == LABELS.index(name) for name in (Label.TEACHER, Label.STUDENT))
    for which in (~missing, missing, teacher, student):
        yield np.bincount(s.owner[which], minlength=size).tolist()
    yield (np.bincount(s.owner[missing & ~s.tokenless], minlength=size) == 0).tolist()


def _of_gaps(
    s: CandidateSentences, size: int, beta: float
) -> Iterator[list[float | None] | list[int | None]]:
    """`soft_count` to `num_teacher_high`."""
    from scipy.special import expit  # takes half a second, and every command imports this module

    counted = ~s.tokenless
    owner, gap = s.owner[counted], s.gap[counted]
    yield _sums(owner, expit((gap - beta) / SOFT_WIDTH), size)
    yield _sums(owner, s.log_ratio[counted], size)
    low, high = (gap > factor * beta for factor in OTHER_BETAS)
    for which in (np.abs(gap - beta) <= NEAR_BETA, low, high):
        counts = _sums(owner, np.where(np.isnan(gap), np.nan, which), size)
        yield [None if count is None else round(count) for count in counts]


def _of_student(s: CandidateSentences, size: int) -> Iterator[list[int] | list[float | None]]:
    """`num_scored_tokens` to `sum_rank100`."""
    yield np.bincount(s.owner, s.num_tokens, size).astype(np.int64).tolist()
    for values in (s.logprob, s.sum_entropy, s.sum_rank100):
        yield _sums(s.owner, values, size)


def _sums(owner: Ints, values: Floats, size: int) -> list[float | None]:
    """Per candidate; None where one of its values is missing, or is a logarithm of 0."""
    sums = np.bincount(owner, values, size).tolist()
    return [value if math.isfinite(value) else None for value in sums]
