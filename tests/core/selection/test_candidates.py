"""Candidates and what is counted of them."""

from __future__ import annotations

import numpy as np

from rdpt_core.provenance.labels import LabelRule
from rdpt_core.selection.candidates import CandidateRecord, candidates
from rdpt_core.tables.rows import Candidate, FinishReason, SentenceScore, Trace
from tests.core.selection.test_picks import trace_of


def test_records_count_teacher_sentences_among_those_scored_under_both_models() -> None:
    def scored(scorer: str, *p: float | None) -> list[SentenceScore]:
        logprobs = [None if x is None else float(np.log(x)) for x in p]
        return [
            SentenceScore("a", i, scorer, one, int(one is not None), 3, None, None, None)
            for i, one in enumerate(logprobs)
        ]

    (found,) = candidates(
        [trace_of("a")],
        [Candidate("a", False, "wrong")],
        scored("t", 0.9, 0.5, 0.1, 0.9, None),
        scored("s", 0.1, 0.5, 0.9, None, None),
        {"a": 42},
        LabelRule(),
    )
    assert found == CandidateRecord(
        "q-a", "a", "wrong", 42, 3, 2, 1, 1, complete=False, num_scored_tokens=3
    )
    assert not found.eligible


def test_a_sentence_without_tokens_adds_nothing_and_hides_nothing() -> None:
    """In a trace that was scored in full; in any other, sums with a missing score are missing."""
    trace = Trace("a", "q", "x", 0, "x", (), FinishReason.STOP, *[None] * 6)
    teacher = [
        SentenceScore("a", i, "T", x, 2, 9, None, None, None)
        for i, x in enumerate((-0.2, -1.0, -0.2))
    ]
    student = [
        SentenceScore("a", 0, "S", -2.0, 2, 9, None, 1.0, 7),
        SentenceScore("a", 1, "S", None, 0, 1, None, None, None),
        SentenceScore("a", 2, "S", -4.0, 3, 9, None, 2.0, 5),
    ]
    for eligible, reason in ((True, "eligible"), (False, "student_partial")):
        (found,) = candidates(
            [trace], [Candidate("a", eligible, reason)], teacher, student, {"a": 7}, LabelRule()
        )
        assert (found.num_sentences, found.num_missing, found.num_teacher) == (2, 1, 2)
        assert found.num_scored_tokens == 5
        assert found.complete == eligible
        assert found.logprob == (-6.0 if eligible else None)
        assert found.sum_rank100 == (12 if eligible else None)
        assert (found.soft_count is None) == (not eligible)
