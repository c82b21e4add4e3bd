"""The result in words: no more than the intervals allow."""

from __future__ import annotations

import pytest

from flows.report.words import in_words
from rdpt_core.report.bundle import Difference, Number, Shown

SEED = "All this is of one fine-tuning seed"


def number(value: float, half: float = 0.05, n: int = 240, note: str | None = None) -> Number:
    return Number(value, value - half, value + half, n, note)


def arm(name: str, accuracy: float, seed: int | None = 0, kind: str = "arm") -> Shown:
    numbers = {"accuracy": number(accuracy), "provenance/share/teacher": number(0.4, 0.02)}
    return Shown(name, kind, "teacher", "student", name.split(" ")[0], seed, {"bench": numbers})


def mean_of(name: str, accuracy: Number) -> Shown:
    results = {"bench": {"accuracy": accuracy}}
    return Shown(f"{name} (all runs)", "mean", "teacher", "student", name, None, results)


STUDENT = Shown(
    "student", "student", None, "student", None, None, {"bench": {"accuracy": number(0.3)}}
)


def against(
    first: str, second: str, value: float, half: float, least: float | None = 0.07
) -> Difference:
    return Difference(0, first, second, "accuracy", number(value, half), 10, 5, least)


def said(shown: list[Shown], differences: list[Difference], missing: int = 0) -> str:
    return in_words(shown, ["bench"], differences, missing, 49)


def test_an_arm_that_beats_each_other_one_is_the_best() -> None:
    text = said(
        [arm("a", 0.6), arm("b", 0.5), arm("c", 0.4)],
        [against("a", "b", 0.1, 0.04), against("c", "a", -0.2, 0.05), against("b", "c", 0.1, 0.2)],
    )
    assert text.startswith(
        "On bench, a is the best of 3: 60.0% (95% interval 55.0 to 65.0) of 240 questions. "
        "40.0% (38.0 to 42.0) of its sentences are the teacher's."
    )
    assert "a is better than b by 10.0 points (6.0 to 14.0) and c by 20.0 points (15.0" in text
    assert "no interval is widened for comparing several" in text
    assert "cannot be told" not in text


def test_an_interval_that_holds_0_tells_nothing_and_says_what_would() -> None:
    text = said([arm("a", 0.6), arm("b", 0.58)], [against("b", "a", -0.02, 0.05)])
    assert "a has the highest accuracy of 2" in text
    assert "best" not in text
    # 240 (7 / 2)^2 = 2,940
    assert (
        "It cannot be told whether a is better than b: +2.0 points (-3.0 to +7.0); 240 questions "
        "show differences of 7.0 points or more, and one of this size takes about 3,000." in text
    )


@pytest.mark.parametrize("value", [0.0, 0.0001])
def test_a_difference_next_to_nothing_is_out_of_reach(value: float) -> None:
    text = said([arm("a", 0.6), arm("b", 0.6)], [against("a", "b", value, 0.05)])
    assert "one so small is out of reach" in text
    assert "takes about" not in text


def test_of_several_that_are_not_told_apart_the_nearest_is_said_in_full() -> None:
    shown = [arm("a", 0.6), arm("b", 0.55), arm("c", 0.59)]
    text = said(shown, [against("a", "b", 0.05, 0.06), against("a", "c", 0.01, 0.06)])
    assert "whether a is better than c and b: against c +1.0 points" in text


def test_an_end_that_is_0_is_not_better() -> None:
    text = said([arm("a", 0.6), arm("b", 0.5)], [against("a", "b", 0.05, 0.05)])
    assert "cannot be told whether a is better than b" in text
    assert ". a is better than" not in text


def test_a_difference_without_an_interval_tells_nothing() -> None:
    one = Difference(0, "a", "b", "accuracy", Number(0.1, None, None, 1, None), 1, 0, None)
    text = said([arm("a", 0.6), arm("b", 0.5)], [one])
    assert "cannot be told whether a is better than b: +10.0 points." in text


def test_the_undistilled_student_may_be_better_or_not_told_apart() -> None:
    better = said([STUDENT, arm("a", 0.2)], [against("a", "student", -0.1, 0.04)])
    assert "The undistilled student is better by 10.0 points (6.0 to 14.0)." in better
    unclear = said([STUDENT, arm("a", 0.32)], [against("a", "student", 0.02, 0.04)])
    assert "cannot be told whether that is more than the undistilled student" in unclear
    worse = said([STUDENT, arm("a", 0.5)], [against("a", "student", 0.2, 0.04)])
    assert "The undistilled student is worse by 20.0 points (16.0 to 24.0)." in worse


def test_one_seed_is_said_and_enough_of_them_are_not() -> None:
    assert SEED in said([arm("a", 0.5)], [])
    runs = [arm("a", 0.5 + seed / 50, seed) for seed in range(3)]
    covered = number(0.52, note="covers 3 seeds")
    mean = Shown(
        "a (all runs)", "mean", "teacher", "student", "a", None, {"bench": {"accuracy": covered}}
    )
    text = said([*runs, mean], [])
    assert text.startswith("On bench, a (all runs) answers 52.0%")
    assert "In its 3 runs, 40.0% to 40.0% of the sentences are the teacher's." in text
    assert SEED not in text
    assert "too few" not in text
    unsure = number(0.52, note="2 seeds: conditional on these checkpoints")
    few = Shown(
        "a (all runs)", "mean", "teacher", "student", "a", None, {"bench": {"accuracy": unsure}}
    )
    assert "too few to say" in said([*runs[:2], few], [])


def test_arms_of_another_student_are_not_compared() -> None:
    text = said([arm("a", 0.6), arm("b", 0.5)], [])
    assert "a has the highest accuracy of 2" in text
    assert "a is not compared with b, of another teacher or student." in text


def test_what_is_missing_comes_first() -> None:
    text = said([], [], missing=12)
    assert text == "This run is not finished: 12 of 49 tables do not exist yet."
    assert said([], []) == "Nothing has been measured yet."


def test_candidates_alone() -> None:
    numbers = {
        "pool/teacher_share": number(0.6, 0.02),
        "pool/num_candidates": Number(960.0, None, None, 240, None),
        "selection/teacher_share": number(0.77, 0.03, n=221),
    }
    one = Shown("a", "arm", "teacher", "student", "a", None, {"train": numbers})
    text = in_words([one], ["train"], [], 0, 20)
    assert text.startswith(
        "60.0% (95% interval 58.0 to 62.0) of the sentences of 960 candidates, to 240 questions"
    )
    assert "Of the picks: a 77.0% (74.0 to 80.0)." in text
    assert "add [[benchmarks]]" in text
