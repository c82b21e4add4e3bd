"""Intervals cover what they promise: a small seeded version of the grid of `perf/coverage.py`."""

from __future__ import annotations

import numpy as np
import pytest

from perf.simulated import CASES, Case, covered
from rdpt_core.statistics.intervals import (
    Floats,
    Limits,
    difference_limits,
    linearised,
    mean_limits,
    share_limits,
)

REPETITIONS = 600
"""A coverage of 95% has a standard error of 0.9 points here."""
LOWEST = 0.93 - 3 * (0.93 * 0.07 / REPETITIONS) ** 0.5


def those_that_failed() -> list[Case]:
    """Where the bootstrap of questions and Student's t covered 75 to 92%."""
    wanted = {
        "accuracy beta 0.03 30x64",
        "accuracy beta 0.9 30x64",
        "accuracy uneven 0.97 30x16",
        "accuracy bimodal 0.01 100x1",
        "accuracy beta 0.03 240x1",
        "accuracy bimodal 0.5 60x16",
        "share beta 0.03 60",
        "share uneven 0.5 30",
        "paired beta 0.99 30x4",
        "paired bimodal 0.99 100x1",
        "paired uneven 0.9 30x64",
        "shares paired beta 0.1 60",
        "crossed beta 0.9 100x4 seeds 3 spread 0.05",
        "runs beta 0.5 100x4 seeds 3 spread 0.05",
    }
    return named(wanted)


def named(names: set[str]) -> list[Case]:
    chosen = [case for case in CASES if case.name in names]
    assert len(chosen) == len(names)
    return chosen


@pytest.mark.parametrize("case", those_that_failed(), ids=lambda case: case.name)
def test_an_interval_covers_95_percent(case: Case) -> None:
    found = covered(case, REPETITIONS)
    assert found.coverage >= LOWEST
    highest = 0.97 + 3 * (0.97 * 0.03 / REPETITIONS) ** 0.5
    assert found.coverage <= highest or found.conservative > 0.5, "wide without saying so"


def those_that_are_wide() -> list[Case]:
    """Covered 97.3 to 99%, for whole numbers or for what is added to the questions' spread."""
    return named(
        {
            "accuracy bimodal 0.5 60x1",
            "accuracy uneven 0.5 30x16",
            "accuracy alike 0.99 500x64",
            "share uneven 0.3 99",
            "shares paired uneven 0.5 60",
            "paired uneven 0.9 99x64",
            "paired bimodal 0.03 500x1",
            "apart bimodal 0.5 30x4",
            "runs beta 0.9 100x16 seeds 3 spread 0.05",
            "total bimodal 0.3 100",
        }
    )


def those_that_are_not() -> list[Case]:
    """Covered 95 to 96%."""
    return named(
        {
            "accuracy bimodal 0.5 100x1",
            "accuracy uneven 0.5 60x16",
            "share beta 0.5 240",
            "paired beta 0.5 100x4",
            "paired bimodal 0.5 240x1",
            "apart beta 0.5 240x4",
            "runs beta 0.5 500x4 seeds 5 spread 0.05",
            "crossed beta 0.5 500x16 seeds 5 spread 0.05",
            "total bimodal 0.5 500",
        }
    )


@pytest.mark.parametrize("case", those_that_are_wide(), ids=lambda case: case.name)
def test_an_interval_that_covers_more_says_so(case: Case) -> None:
    assert covered(case, 200).conservative > 0.5


@pytest.mark.parametrize("case", those_that_are_not(), ids=lambda case: case.name)
def test_an_interval_that_covers_95_percent_does_not_say_that_it_covers_more(case: Case) -> None:
    assert covered(case, 200).conservative < 0.2


def test_an_interval_that_misses_rare_wins_among_noise_says_so() -> None:
    """One question in 20 is won whole, of 30 with 16 samples: in one draw of five there is none."""
    [case] = named({"rare beta 0.5 30x16 won 0.05"})
    found = covered(case, 2000)
    assert found.misses_rare > 0.5
    assert (found.coverage_of_others or 0) > 0.95


def test_there_is_no_jump_between_99_and_100_questions() -> None:
    values = np.random.default_rng(1).random((100, 1))
    wide, narrow = (
        width(share_limits(linearised(x, np.ones_like(x)))) for x in (values[:99], values)
    )
    assert narrow == pytest.approx(wide, rel=0.03)


def width(limits: object) -> float:
    return float(limits.high[0] - limits.low[0])  # type: ignore[attr-defined]


def test_more_samples_of_a_question_narrow_an_interval_only_so_far() -> None:
    """Questions that are solved always or never: 64 samples say no more than one."""
    one = np.repeat([1.0, 0.0], 20)[:, None]
    bottoms = np.ones_like(one)
    assert width(share_limits(linearised(one, bottoms))) == pytest.approx(
        width(share_limits(linearised(64 * one, 64 * bottoms)))
    )
    half = np.full((40, 1), 0.5) + np.resize([0.05, -0.05], (40, 1))
    assert width(share_limits(linearised(half, bottoms))) < 0.05


def flips(num_questions: int, num_gained: int) -> Floats:
    column = np.zeros(num_questions)
    column[:num_gained] = 1
    return column[:, None]


def test_arms_that_answer_alike_are_not_certain_to_be_equal() -> None:
    half = flips(100, 50)
    ones = np.ones_like(half)
    limits = difference_limits(linearised(half, ones), linearised(half, ones))
    # Of 100 questions 3.6% may differ unseen: 1 - .025^(1/100).
    assert [limits.low[0], limits.high[0]] == pytest.approx([-0.0362, 0.0362], abs=1e-4)
    assert limits.conservative[0]


def noisy(num_won: int) -> Limits:
    """Two arms of 30 questions with 16 samples each, of which one wins some questions whole."""
    shares = np.random.default_rng(3).binomial(16, 0.5, (2, 30, 1)) / 16
    shares[0, :num_won], shares[1, :num_won] = 1.0, 0.0
    one, other = (linearised(share, np.ones_like(share)) for share in shares)
    return difference_limits(one, other)


def test_what_rare_wins_would_move_is_missed_until_some_are_seen() -> None:
    """With 30 questions, 11.6% may be won whole and none be drawn: 1 - .025^(1/30)."""
    none, some = noisy(0), noisy(3)
    assert none.high[0] - none.low[0] < 2 * 0.116
    assert none.misses_rare[0]
    assert not some.misses_rare[0]


def test_arms_of_one_sample_miss_nothing_rare() -> None:
    """Nor do arms that answer alike: both intervals hold what is unseen."""
    ones = np.ones((100, 1))
    few, half = (linearised(flips(100, number), ones) for number in (30, 50))
    assert not difference_limits(few, half).misses_rare[0]
    assert not difference_limits(half, half).misses_rare[0]
    assert not share_limits(half).misses_rare[0]


def test_a_mean_that_rests_on_few_questions_says_so() -> None:
    """Eleven of 100 questions differ, one of them by more than the others together."""
    gaps = np.zeros((100, 2))
    gaps[:11] = 1.0
    gaps[0, 1] = 20.0
    assert mean_limits(gaps).conservative.tolist() == [False, True]


def test_a_difference_turns_round_with_its_arms() -> None:
    generator = np.random.default_rng(2)
    one, other = generator.random((2, 50, 1))
    arms = linearised(one, np.ones_like(one)), linearised(other, np.ones_like(other))
    there, back = difference_limits(*arms), difference_limits(*arms[::-1])
    assert there.low[0] == pytest.approx(-back.high[0])
    assert there.high[0] == pytest.approx(-back.low[0])
