"""How far two scorings of the same traces lie apart, which bounds what a label can mean.

A model that reads a text twice, in another order or in packs of another size, rounds differently;
so do two backends of one model. What is drawn apart here is the *token*, whose figures are reported
only, and the *sentence*, on which rdpt decides: the gates are on sentences. Nothing here knows how
the scores were made.

Gates [own]: p95 of |delta p| and the share of labels that flip, on 32 traces or more. The mean of
exp(|delta log p|) is the figure of NVIDIA's NeMo RL, which wants at most 1.05 between two backends
at equal precision; reported, not gated, since it depends on how sure the model is of its tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rdpt_core.provenance.labels import MISSING, Floats, Labelled, LabelRule, probabilities
from rdpt_core.provenance.sentence_scores import SCORED, sentence_scores
from rdpt_core.tables.rows import Sentence, SentenceScore, TokenScores, Trace

MOST_P95 = 0.005
"""Gate: p95 of |delta p| over sentences."""
MOST_FLIPS = 0.01
"""Gate: share of labels that change."""
ENOUGH_TRACES = 32
"""Traces below which the gates say little."""


@dataclass(frozen=True)
class ScoredTraces:
    """What one scorer gave some traces, in the order of their ids: to be compared with another
    scoring of the same traces and sentences."""

    tokens: tuple[TokenScores, ...]
    sentences: tuple[SentenceScore, ...]

    @classmethod
    def joined(
        cls, traces: Sequence[Trace], sentences: Sequence[Sentence], scores: Iterable[TokenScores]
    ) -> ScoredTraces:
        """Raises ValueError where tokens, sentences and traces do not fit."""
        tokens = sorted(scores, key=lambda row: row.trace_id)
        rows = sentence_scores(traces, sentences, tokens)
        return cls(tuple(tokens), tuple(sorted(rows, key=lambda r: (r.trace_id, r.position))))

    def p(self, rule: LabelRule) -> Floats:
        """Probability of each sentence; NaN where it has none."""
        return probabilities(self.sentences, rule)


@dataclass(frozen=True, slots=True)
class ScoreDifference:
    """Two scorings, compared. Absolute differences; log-probabilities in nats."""

    num_traces: int
    """That both scored."""
    num_skipped: int
    """That one of the two did not."""
    num_tokens: int
    """Tokens of the traces whose tokens are the same in both."""
    mean_ratio: float | None
    """Mean of exp(|delta log p|); None without tokens that are the same."""
    p99_logprob: float | None
    num_sentences: int
    p95_p: float
    p99_p: float


class Flips(NamedTuple):
    """Labels that one scoring instead of another would change."""

    num: int
    of: int
    """Sentences that have a label under both."""

    @property
    def share(self) -> float | None:
        return self.num / self.of if self.of else None

    @property
    def hold(self) -> bool:
        """True if the gate holds; without labels nothing can break it."""
        return self.num <= MOST_FLIPS * self.of


def difference(one: ScoredTraces, other: ScoredTraces, rule: LabelRule) -> ScoreDifference:
    """Raises ValueError where the two are not of the same traces and sentences, or no sentence has
    a probability in both."""
    _check_same(one, other)
    pairs = [
        (a, b)
        for a, b in zip(one.tokens, other.tokens, strict=True)
        if a.status in SCORED and b.status in SCORED
    ]
    of_tokens = _token_differences(pairs)
    of_sentences = _known(np.abs(one.p(rule) - other.p(rule)))
    if not len(of_sentences):
        raise ValueError(
            f"none of {len(one.tokens)} traces has a sentence with a probability in both scorings: "
            "either they are longer than the model reads, or it scores no text of theirs"
        )
    return ScoreDifference(
        num_traces=len(pairs),
        num_skipped=len(one.tokens) - len(pairs),
        num_tokens=len(of_tokens),
        mean_ratio=float(np.exp(of_tokens).mean()) if len(of_tokens) else None,
        p99_logprob=float(np.quantile(of_tokens, 0.99)) if len(of_tokens) else None,
        num_sentences=len(of_sentences),
        p95_p=float(np.quantile(of_sentences, 0.95)),
        p99_p=float(np.quantile(of_sentences, 0.99)),
    )


def flips(before: Labelled, after: Labelled) -> Flips:
    """Labels that differ; both are of the same sentences, in the same order."""
    known = (before.label != MISSING) & (after.label != MISSING)
    return Flips(int((before.label[known] != after.label[known]).sum()), int(known.sum()))


def _check_same(one: ScoredTraces, other: ScoredTraces) -> None:
    for what, mine, theirs in (
        ("traces", [r.trace_id for r in one.tokens], [r.trace_id for r in other.tokens]),
        (
            "sentences",
            [(r.trace_id, r.position) for r in one.sentences],
            [(r.trace_id, r.position) for r in other.sentences],
        ),
    ):
        if mine != theirs:
            raise ValueError(
                f"{len(mine)} and {len(theirs)} {what} are not the same: two scorings are compared "
                "on equal traces, cut by one segmenter"
            )


def _token_differences(pairs: Sequence[tuple[TokenScores, TokenScores]]) -> Floats:
    """|delta log p| of traces that both cut into the same tokens. A text that one of them encoded
    again may be cut elsewhere; then only its sentences are comparable."""
    found = [
        np.abs(a.logprobs.astype(np.float64) - b.logprobs.astype(np.float64))
        for a, b in pairs
        if np.array_equal(a.token_bytes, b.token_bytes)
    ]
    return _known(np.concatenate(found)) if found else np.empty(0)


def _known(values: Floats) -> Floats:
    return values[np.isfinite(values)]
