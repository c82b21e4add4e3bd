"""One pool for all arms, one pick per question, ties by rule, tokens matched or said not to be."""

from __future__ import annotations

import random

import numpy as np
import pytest

from rdpt_core.selection.candidates import CandidateRecord
from rdpt_core.selection.picks import (
    PoolRule,
    Selector,
    num_student_tokens,
    pool,
    select,
    total_tokens,
)
from rdpt_core.selection.profile import (
    token_gap,
)
from rdpt_core.tables.rows import (
    FinishReason,
    Grade,
    Outcome,
    Pick,
    ScoreSource,
    ScoreStatus,
    TokenScores,
    Trace,
)

COUNT, LONGEST, RANDOM = (
    Selector(name="teacher_count"),
    Selector(name="longest"),
    Selector(name="random"),
)
MATCHED = Selector(name="random", match_tokens="teacher_count")


def trace_of(trace_id: str, finish: FinishReason = FinishReason.STOP) -> Trace:
    return Trace(
        trace_id, f"q-{trace_id}", "author", 0, "x", (), finish, None, None, None, None, None, None
    )


def scores_of(
    trace_id: str, num_tokens: int, status: ScoreStatus = ScoreStatus.OK, num_tag_tokens: int = 2
) -> TokenScores:
    logprobs = np.array([np.nan] + [-1.0] * num_tokens, dtype=np.float32)  # a tag first
    empty = np.zeros(0, dtype=np.float16)
    return TokenScores(
        trace_id,
        "m",
        status,
        1,
        True,
        False,
        False,
        ScoreSource.FORWARD,
        1.0,
        None,
        None,
        num_tag_tokens,
        None,
        np.zeros(0, dtype=np.uint8),
        logprobs,
        np.zeros(0, dtype=np.uint32),
        empty,
        empty,
        None,
        None,
    )


def record(
    problem: str,
    trace: str,
    tokens: int,
    teacher: int,
    sentences: int = 10,
    reason: str = "eligible",
) -> CandidateRecord:
    return CandidateRecord(problem, trace, reason, tokens, sentences, 0, teacher, 0)


def ids_of(picks: list[Pick]) -> set[str]:
    return {pick.trace_id for pick in picks}


# ---------------------------------------------------------------- the pool


def reasons(rule: PoolRule) -> dict[str, str]:
    """A pool in which each trace breaks one rule, named by its id."""
    length = {"cut": FinishReason.LENGTH}
    outcome = {"wrong": Outcome.WRONG, "cut": Outcome.TRUNCATED}
    names = ["fine", "wrong", "cut", "teacher", "student", "empty", "long"]
    rows = pool(
        [trace_of(name, length.get(name, FinishReason.UNKNOWN)) for name in names],
        [Grade(name, outcome.get(name, Outcome.CORRECT), None) for name in names],
        [
            scores_of(name, 5, ScoreStatus.ERROR if name == "teacher" else ScoreStatus.OK)
            for name in names
        ],
        [
            scores_of(
                name,
                {"empty": 0, "long": 90}.get(name, 5),
                ScoreStatus.PARTIAL if name == "student" else ScoreStatus.OK,
            )
            for name in names
        ],
        rule,
    )
    return {row.trace_id: row.reason for row in rows}


def test_a_candidate_has_the_first_rule_that_it_breaks() -> None:
    assert reasons(PoolRule(max_tokens=50)) == {
        "fine": "eligible",
        "wrong": "wrong",
        "cut": "truncated",
        "teacher": "teacher_error",
        "student": "student_partial",
        "empty": "empty",
        "long": "over_max_tokens",
    }


def test_finished_takes_wrong_answers_and_all_takes_cut_ones_too() -> None:
    finished, everything = reasons(PoolRule(eligible="finished")), reasons(PoolRule(eligible="all"))
    assert (finished["wrong"], finished["cut"]) == ("eligible", "truncated")
    assert (everything["wrong"], everything["cut"]) == ("eligible", "eligible")
    assert everything["long"] == "eligible"


def test_tokens_are_the_students_with_its_own_delimiters() -> None:
    assert num_student_tokens(scores_of("a", 5, num_tag_tokens=2)) == 7


# ---------------------------------------------------------------- picks

POOL = [
    record("q1", "a", 30, teacher=5),
    record("q1", "b", 20, teacher=5),
    record("q1", "c", 90, teacher=9, reason="wrong"),
    record("q2", "d", 40, teacher=1),
    record("q2", "e", 40, teacher=1),
    record("q2", "f", 50, teacher=0),
    record("q3", "g", 10, teacher=7, reason="truncated"),
]


def test_the_count_picks_per_question_and_ties_go_to_the_shorter_then_the_smaller_id() -> None:
    assert select(POOL, COUNT, 0) == [Pick("b", 1, 5.0, 20), Pick("d", 2, 1.0, 40)]


def test_longest_picks_by_the_students_tokens() -> None:
    assert ids_of(select(POOL, LONGEST, 0)) == {"a", "f"}


def test_the_order_of_the_records_does_not_matter() -> None:
    shuffled = random.Random(0).sample(POOL, len(POOL))
    for selector in (COUNT, LONGEST, RANDOM):
        assert select(shuffled, selector, 3) == select(POOL, selector, 3)


def many(num_questions: int, num_each: int = 4, seed: int = 0) -> list[CandidateRecord]:
    generator = np.random.default_rng(seed)
    return [
        record(
            f"q{q}",
            f"q{q}-{i}",
            tokens := int(generator.integers(50, 250)),
            teacher=int(generator.binomial(tokens // 10, 0.4)),
            sentences=tokens // 10,
        )
        for q in range(num_questions)
        for i in range(num_each)
    ]


def test_random_is_seeded_uniform_and_deaf_to_other_candidates() -> None:
    records = many(400)
    picks = ids_of(select(records, RANDOM, 1))
    assert picks != ids_of(select(records, RANDOM, 2))
    first = sum(name.endswith("-0") for name in picks)
    assert 70 <= first <= 130  # of 400 questions with four candidates each
    assert ids_of(select(records[:80], RANDOM, 1)) <= picks


def test_every_arm_takes_the_same_questions_and_as_many_examples() -> None:
    records = many(40)
    arms = [select(records, selector, 5, num_examples=10) for selector in (COUNT, LONGEST, RANDOM)]
    questions = [{name.split("-")[0] for name in ids_of(picks)} for picks in arms]
    assert questions[0] == questions[1] == questions[2]
    assert [len(picks) for picks in arms] == [10, 10, 10]


@pytest.mark.parametrize("seed", range(5))
def test_a_matched_arm_has_the_tokens_of_the_other_within_one_percent(seed: int) -> None:
    records = many(60, seed=seed)
    target = total_tokens(select(records, COUNT, seed))
    plain, picks = select(records, RANDOM, seed), select(records, MATCHED, seed, None, target)
    assert abs(total_tokens(plain) - target) > 0.01 * target  # so there was something to do
    assert abs(total_tokens(picks) - target) <= 0.01 * target
    assert len({name.split("-")[0] for name in ids_of(picks)}) == len(picks) == 60
    assert token_gap(picks, target).note is None
    assert ids_of(picks) & ids_of(plain)
    assert picks == select(records[::-1], MATCHED, seed, None, target)


def test_a_target_out_of_reach_is_said_to_be() -> None:
    picks = select(many(20), MATCHED, 0, None, 10**6)
    assert ids_of(picks) == ids_of(select(many(20), LONGEST, 0))
    note = token_gap(picks, 10**6).note
    assert note is not None
    assert note.startswith("not within 1%")


@pytest.mark.parametrize(("selector", "target"), [(MATCHED, None), (RANDOM, 100)])
def test_a_target_without_a_matching_selector_is_refused(
    selector: Selector, target: int | None
) -> None:
    with pytest.raises(ValueError, match="target_tokens"):
        select(POOL, selector, 0, None, target)


# ---------------------------------------------------------------- what it looks like
