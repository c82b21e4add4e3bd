"""Random candidates, known token by token, for tests of sums over their tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rdpt_core.provenance.labels import LabelRule
from rdpt_core.selection.candidates import CandidateRecord, candidates
from rdpt_core.tables.rows import Candidate, FinishReason, SentenceScore, Trace


@dataclass
class Token:
    logprob: float
    rank: int
    entropy: float


@dataclass
class Text:
    """A candidate under both models, sentence by sentence, token by token."""

    name: str
    problem: str
    teacher: list[list[float]]
    student: list[list[Token]]

    @property
    def tokens(self) -> list[Token]:
        return [token for sentence in self.student for token in sentence]

    @property
    def num_tokens(self) -> int:
        return len(self.tokens) + 2  # its delimiters

    def p(self) -> list[tuple[float, float]]:
        return [
            (math.exp(math.fsum(t) / len(t)), math.exp(math.fsum(x.logprob for x in s) / len(s)))
            for t, s in zip(self.teacher, self.student, strict=True)
        ]


def drawn(num_problems: int = 12, num_each: int = 4) -> list[Text]:
    generator = np.random.default_rng(3)

    def logprobs() -> list[float]:
        return [-float(x) for x in generator.exponential(0.5, generator.integers(1, 9))]

    def text(problem: int, sample: int) -> Text:
        sizes = range(int(generator.integers(1, 12)))
        student = [
            [Token(x, int(generator.integers(1, 400)), -x / 2) for x in logprobs()] for _ in sizes
        ]
        return Text(f"{problem}-{sample}", f"q{problem}", [logprobs() for _ in sizes], student)

    return [text(q, i) for q in range(num_problems) for i in range(num_each)]


def sentence_scores(texts: list[Text]) -> tuple[list[SentenceScore], list[SentenceScore]]:
    """Sentence scores of the teacher, T, and of the student, S."""
    teacher = [
        SentenceScore(t.name, i, "T", math.fsum(s), len(s), 9, None, None, None)
        for t in texts
        for i, s in enumerate(t.teacher)
    ]
    student = [
        SentenceScore(
            t.name,
            i,
            "S",
            math.fsum(x.logprob for x in s),
            len(s),
            9,
            None,
            math.fsum(x.entropy for x in s),
            sum(min(x.rank, 100) for x in s),
        )
        for t in texts
        for i, s in enumerate(t.student)
    ]
    return teacher, student


def records_of(texts: list[Text], beta: float) -> list[CandidateRecord]:
    """Records built from rows of `sentence_scores`, as in the pipeline; all are eligible."""
    traces = [
        Trace(t.name, t.problem, "a", 0, "x", (), FinishReason.STOP, *[None] * 6) for t in texts
    ]
    pool = [Candidate(t.name, True, "eligible") for t in texts]
    lengths = {t.name: t.num_tokens for t in texts}
    rule = LabelRule(beta=beta)
    return list(candidates(traces, pool, *sentence_scores(texts), lengths, rule))
