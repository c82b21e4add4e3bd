"""How far two scorings lie apart: planted differences come back as they were planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rdpt_core.provenance.labels import LabelRule, label
from rdpt_core.provenance.noise import Flips, ScoredTraces, difference, flips
from rdpt_core.tables.rows import Problem, ScoreStatus, TokenScores
from rdpt_core.text import segmentation
from rdpt_core.text.segmentation import SegmentRule
from tests.core.models.planted import FakeGenerator, FakeScorer

RULE = LabelRule()
PROBLEMS = [Problem(f"p{n}", "toy", "train", "", f"Problem {n}?", str(n)) for n in range(40)]
TRACES = FakeGenerator().generate(PROBLEMS, 0)
SENTENCES = [row for trace in TRACES for row in segmentation.segment(trace, SegmentRule())]
SCORES = list(FakeScorer("model", {"Teacher": 0.9, "Student": 0.3}).score(PROBLEMS, TRACES))


def scoring(scores: list[TokenScores]) -> ScoredTraces:
    return ScoredTraces.joined(TRACES, SENTENCES, scores)


def shifted(by: float, num_traces: int = len(TRACES)) -> list[TokenScores]:
    """The first traces' tokens are less probable by so many nats."""
    return [
        replace(row, logprobs=row.logprobs - np.float32(by)) if index < num_traces else row
        for index, row in enumerate(SCORES)
    ]


def test_a_scoring_differs_from_itself_in_nothing_whatever_the_order() -> None:
    found = difference(scoring(SCORES), scoring(SCORES[::-1]), RULE)
    assert (found.num_traces, found.num_skipped) == (40, 0)
    assert (found.p95_p, found.p99_p, found.p99_logprob, found.mean_ratio) == (0, 0, 0, 1)
    assert found.num_tokens == sum(int((~np.isnan(row.logprobs)).sum()) for row in SCORES)
    assert found.num_sentences == len([r for r in scoring(SCORES).sentences if r.logprob])


def test_a_shift_of_every_token_is_found_in_tokens_and_sentences() -> None:
    found = difference(scoring(SCORES), scoring(shifted(0.05)), RULE)
    assert found.p99_logprob == pytest.approx(0.05, abs=1e-6)
    assert found.mean_ratio == pytest.approx(np.exp(0.05), abs=1e-6)
    assert found.p99_p == pytest.approx(0.9 * (1 - np.exp(-0.05)), abs=1e-6)


@pytest.mark.parametrize(("num_traces", "seen"), [(1, False), (4, True)])
def test_what_moves_in_a_tail_is_seen_by_p99_and_not_by_p95(num_traces: int, seen: bool) -> None:
    """1 of 40 traces is 2.5% of the sentences, 4 are 10%."""
    found = difference(scoring(SCORES), scoring(shifted(0.2, num_traces)), RULE)
    assert found.p99_p > 0.02
    assert (found.p95_p > 0.02) == seen


def test_a_trace_that_one_of_them_did_not_score_is_counted_and_not_compared() -> None:
    row = SCORES[0]
    lost = replace(
        row,
        status=ScoreStatus.ERROR,
        scored_stop=0,
        token_bytes=row.token_bytes[:0],
        logprobs=row.logprobs[:0],
    )
    found = difference(scoring(SCORES), scoring([lost, *shifted(0.05)[1:]]), RULE)
    assert (found.num_traces, found.num_skipped) == (39, 1)
    assert found.p99_logprob == pytest.approx(0.05, abs=1e-6)


def test_texts_that_are_cut_into_other_tokens_compare_by_sentence_alone() -> None:
    """Each token but a tag's is two, of half the log-probability each."""
    scores = [_halved(row) for row in SCORES]
    found = difference(scoring(SCORES), scoring(scores), RULE)
    assert (found.num_tokens, found.p99_logprob, found.mean_ratio) == (0, None, None)
    assert found.num_sentences > 0


def _halved(row: TokenScores) -> TokenScores:
    sizes: list[int] = []
    values: list[float] = []
    for size, value in zip(row.token_bytes.tolist(), row.logprobs.tolist(), strict=True):
        whole = np.isnan(value) or size < 2
        sizes += [size] if whole else [size - 1, 1]
        values += [value] if whole else [value / 2, value / 2]
    ones = np.ones(len(sizes))
    return replace(
        row,
        token_bytes=np.array(sizes, np.uint8),
        logprobs=np.array(values, np.float32),
        ranks=ones.astype(np.uint32),
        entropies=ones.astype(np.float16),
    )


def test_scorings_of_other_traces_or_without_any_score_are_refused() -> None:
    half = [row for row in SENTENCES if row.trace_id == TRACES[0].trace_id]
    with pytest.raises(ValueError, match="40 and 1 traces are not the same"):
        difference(scoring(SCORES), ScoredTraces.joined(TRACES[:1], half, SCORES[:1]), RULE)
    nobody = scoring(list(FakeScorer("model", {}, limit=1).score(PROBLEMS, TRACES)))
    with pytest.raises(ValueError, match="none of 40 traces has a sentence"):
        difference(scoring(SCORES), nobody, RULE)


def test_labels_flip_where_the_gap_crosses_beta_and_a_missing_label_is_no_flip() -> None:
    teacher, student = np.array([0.6, 0.6, 0.6, np.nan]), np.array([0.45, 0.51, 0.2, 0.2])
    again = np.array([0.52, 0.51, 0.2, 0.2])
    before, after = (label(teacher, p, None, RULE) for p in (student, again))
    assert flips(before, after) == Flips(1, 3)
    assert flips(before, after).share == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("found", "holds"),
    [
        (Flips(1, 100), True),
        (Flips(2, 100), False),
        (Flips(1, 99), False),
        (Flips(0, 0), True),
    ],
)
def test_at_most_one_label_in_a_hundred_flips(found: Flips, holds: bool) -> None:
    assert found.hold == holds
