"""How firm the picks of the count are: other betas, chance, noise near beta, missing merits."""

from __future__ import annotations

import pytest

from rdpt_core.selection.candidates import CandidateRecord
from rdpt_core.selection.picks import Selector, select
from rdpt_core.selection.profile import (
    SAME_ARM,
    longest_is_most_teacher,
    num_without_merit,
    robust_picks,
    stability,
)
from rdpt_core.statistics.effects import CONSERVATIVE
from rdpt_core.tables.rows import Pick
from tests.core.sample_texts import drawn, records_of

COUNT = Selector(name="teacher_count")


def record(problem: str, trace: str, teacher: int, near: int | None = 0) -> CandidateRecord:
    return CandidateRecord(
        problem,
        trace,
        "eligible",
        10,
        9,
        0,
        teacher,
        0,
        num_near_beta=near,
        num_teacher_low=teacher,
        num_teacher_high=teacher,
    )


def picked(picks: list[Pick]) -> set[str]:
    return {pick.trace_id for pick in picks}


def test_stability_is_the_share_of_picks_that_another_beta_keeps() -> None:
    """Against the same candidates, counted anew at 0.05 and 0.15."""
    texts = drawn(60)
    picks = picked(select(records_of(texts, 0.1), COUNT, 0))
    found = stability(records_of(texts, 0.1))
    for factor in (0.5, 1.5):
        kept = picks & picked(select(records_of(texts, factor * 0.1), COUNT, 0))
        assert found[factor].value == pytest.approx(len(kept) / 60)
        assert found[factor].n == 60
    assert 0.5 < min(one.value or 0 for one in found.values()) < 1


def test_sentences_near_beta_are_counted_as_they_lie() -> None:
    texts = drawn(20)
    for text, found in zip(texts, records_of(texts, 0.1), strict=True):
        gaps = [teacher - student for teacher, student in text.p()]
        assert found.num_near_beta == sum(abs(gap - 0.1) <= 0.02 for gap in gaps)


def test_a_pick_is_robust_where_it_leads_by_more_than_both_have_near_beta() -> None:
    pool = [
        record("q1", "a", 9, 1),
        record("q1", "b", 6, 1),  # leads by 3 > 2
        record("q2", "a", 9, 1),
        record("q2", "b", 6, 2),  # by 3, which 3 can turn
        record("q3", "a", 9, 0),
        record("q3", "b", 9, 0),  # a tie
        record("q4", "a", 9, 0),
        record("q4", "b", 1, None),  # nobody knows
        record("q5", "a", 9, 0),  # no choice
    ]
    found = robust_picks(pool)
    assert (found.value, found.n) == (0.25, 4)


def test_a_pool_in_which_count_is_length_says_so() -> None:
    def pool(num_alike: int) -> list[CandidateRecord]:
        return [
            CandidateRecord(f"q{q}", trace, "eligible", tokens, 9, 0, teacher, 0)
            for q in range(10)
            for trace, tokens, teacher in (("a", 20, 5), ("b", 10, 1 if q < num_alike else 7))
        ]

    at, above = longest_is_most_teacher(pool(8)), longest_is_most_teacher(pool(9))
    assert (at.value, at.note) == (SAME_ARM, CONSERVATIVE)
    assert (
        above.note == f"{CONSERVATIVE}; above 0.8: this pool cannot tell the count from the length"
    )


def test_candidates_without_merit_are_counted_among_the_eligible() -> None:
    whole = CandidateRecord("q", "a", "eligible", 10, 9, 0, 1, 0, logprob=-3.0, num_scored_tokens=9)
    broken = CandidateRecord("q", "b", "eligible", 10, 9, 0, 2, 0, num_scored_tokens=9)
    wrong = CandidateRecord("q", "c", "wrong", 10, 9, 0, 3, 0)
    found = num_without_merit([whole, broken, wrong], Selector(name="grape_mean"), 0)
    assert (found.value, found.n) == (1.0, 2)
    assert num_without_merit([whole, broken, wrong], COUNT, 0).value == 0.0
