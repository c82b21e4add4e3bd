"""How firm the picks of the count are: other betas, chance, noise near beta, missing merits."""

from __future__ import annotations

import pytest

from rdpt_core.selection.candidates import CandidateRecord
from rdpt_core.selection.picks import Selector, select
from rdpt_core.selection.profile import (
    SAME_ARM,
    agreement,
    chance_agreement,
    length_decomposition,
    longest_is_most_teacher,
    num_without_merit,
    robust_picks,
    stability,
    tie_rate,
)
from rdpt_core.statistics.effects import CONSERVATIVE
from rdpt_core.tables.rows import Pick
from tests.core.sample_texts import drawn, records_of
from tests.core.selection.test_picks import LONGEST, POOL, RANDOM, many
from tests.core.selection.test_picks import record as counted

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


def test_tie_rate_counts_questions_whose_best_is_not_alone() -> None:
    rate = tie_rate(POOL, COUNT, 0)
    assert (rate.value, rate.n) == (1.0, 2)
    assert tie_rate(POOL, LONGEST, 0).value == 0.0


def test_agreement_and_its_chance() -> None:
    records = many(300)
    same = agreement(select(records, RANDOM, 1), select(records, RANDOM, 2))
    chance = chance_agreement(records)
    assert chance.value == 0.25
    assert same.low is not None
    assert same.high is not None
    assert same.low < 0.25 < same.high


def test_longest_is_most_teacher_asks_questions_with_a_choice() -> None:
    records = [
        counted("q1", "a", 30, teacher=5),
        counted("q1", "b", 20, teacher=1),
        counted("q2", "c", 30, teacher=1),
        counted("q2", "d", 20, teacher=5),
        counted("q3", "e", 20, teacher=5),
    ]
    found = longest_is_most_teacher(records)
    assert (found.value, found.n) == (0.5, 2)


def test_length_explains_all_of_a_count_at_a_constant_rate_and_nothing_at_a_constant_length() -> (
    None
):
    by_length = [counted("q", str(n), 9, teacher=n // 2, sentences=n) for n in (2, 4, 8, 16)]
    found = length_decomposition(by_length)
    assert found.share_of_n == pytest.approx(1)
    assert found.spearman == pytest.approx(1)
    assert found.var_log_rate == pytest.approx(0)
    by_rate = length_decomposition([counted("q", str(k), 9, teacher=k) for k in (0, 2, 4, 8)])
    assert by_rate.share_of_n == pytest.approx(0)
    assert (by_rate.spearman, by_rate.num_zero, by_rate.num_used) == (None, 1, 3)


def test_the_decomposition_adds_up_and_is_within_questions() -> None:
    found = length_decomposition(many(50))
    assert found.var_log_n is not None
    assert found.var_log_rate is not None
    assert found.cov is not None
    assert found.var_log_count == pytest.approx(
        found.var_log_n + found.var_log_rate + 2 * found.cov
    )
    # Questions that differ in length by a hundred leave no trace.
    apart = [
        counted("q1", "a", 9, 10, 10),
        counted("q1", "b", 9, 10, 10),
        counted("q2", "c", 9, 1000, 1000),
        counted("q2", "d", 9, 1000, 1000),
    ]
    assert length_decomposition(apart).var_log_n == pytest.approx(0)


def test_an_empty_pool_has_no_numbers() -> None:
    assert select([], COUNT, 0) == []
    assert tie_rate([], COUNT, 0).value is None
    assert longest_is_most_teacher([]).value is None
    assert length_decomposition([]).var_log_count is None
    assert chance_agreement([]).value is None
