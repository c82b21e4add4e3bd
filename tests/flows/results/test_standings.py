"""Who stands where in a table of accuracies, and what the mark of the best claims."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from flows.configurations import Configuration
from flows.results import standings as module
from flows.results.rows import DIFFERENCE, ArmDifference
from flows.results.standings import Standings, standings
from rdpt_core.tables.rows import Result


def result(metric: str, value: float, low: float, high: float) -> Result:
    return Result("c", "test", "bench", metric, value, low, high, 240, None)


def arm(name: str, selector: str = "") -> Configuration:
    return Configuration(name, "arm", "t", "s", name, 0, (), name, arm=selector or name)


def baseline(name: str) -> Configuration:
    return Configuration(name, "teacher", name, None, None, None, (), name)


Difference = tuple[str, str, float, float]
"""Two arms and the interval of their difference."""


def placed(
    monkeypatch: pytest.MonkeyPatch,
    configurations: Sequence[Configuration],
    accuracy: dict[str, float],
    differences: Sequence[Difference] = (),
    means: dict[str, float] | None = None,
) -> Standings:
    def rows_of(one: Configuration, side: str, plan: Any) -> dict[str, Result]:
        value = accuracy.get(one.name)
        return {} if value is None else {"accuracy": result("accuracy", value, 0.0, 1.0)}

    def pairs(*_: Any) -> Iterator[ArmDifference]:
        for first, other, low, high in differences:
            row = result(DIFFERENCE, (low + high) / 2, low, high)
            yield ArmDifference(first, f"{first} - {other}", other, {DIFFERENCE: row})

    def arm_means(found: list[Configuration], *_: Any) -> Iterator[tuple[str, Result]]:
        for one in found:
            if means and one.name.endswith("1"):
                assert one.arm is not None
                yield f"{one.arm} (all runs)", result("accuracy", means[one.arm], 0.0, 1.0)

    monkeypatch.setattr(module, "rows_of", rows_of)
    monkeypatch.setattr(module, "differences", pairs)
    monkeypatch.setattr(module, "arm_means", arm_means)
    plan: Any = None
    return standings(configurations, "test:bench", plan)


ARMS = [arm("count"), arm("random"), arm("longest")]
VALUES = {"teacher": 0.9, "count": 0.5, "random": 0.7, "longest": 0.6}


def test_arms_are_sorted_by_accuracy_and_baselines_stand_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = placed(monkeypatch, [baseline("teacher"), *ARMS], VALUES)
    assert [[one.name for one in group] for group in found.groups] == [
        ["random", "longest", "count"],
        ["teacher"],
    ]
    assert [found.name(one) for one in found.arms] == ["random *", "longest", "count"]
    assert [found.style(one) for one in found.arms] == ["bold", "", ""]
    assert found.num_questions == 240


def test_the_best_is_above_the_second_where_their_difference_excludes_0(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = [("count", "random", -0.14, -0.04), ("random", "longest", 0.01, 0.09)]
    found = placed(monkeypatch, ARMS, VALUES, pairs)
    assert found.verdict == (
        "* highest accuracy; above the second, longest, by +5.0 [+1.0, +9.0] points"
    )


def test_a_difference_is_read_from_either_side(monkeypatch: pytest.MonkeyPatch) -> None:
    found = placed(monkeypatch, ARMS, VALUES, [("longest", "random", -0.09, -0.01)])
    assert "longest, by +5.0 [+1.0, +9.0] points" in found.verdict


def test_arms_whose_difference_from_the_best_holds_0_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = [("count", "random", -0.14, 0.0), ("random", "longest", -0.01, 0.09)]
    found = placed(monkeypatch, ARMS, VALUES, pairs)
    assert found.verdict == "* highest accuracy; not told apart from longest or count"


def test_arms_that_were_not_compared_are_not_said_to_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert placed(monkeypatch, ARMS, VALUES).verdict == "* highest accuracy"


def test_a_tie_at_the_top_and_a_single_arm_have_no_best(monkeypatch: pytest.MonkeyPatch) -> None:
    tie = placed(monkeypatch, ARMS, {"count": 0.7, "random": 0.7, "longest": 0.1})
    alone = placed(monkeypatch, ARMS, {"count": 0.7})
    for found in (tie, alone):
        assert (found.best, found.verdict) == (None, "")


def test_of_an_arm_of_several_runs_the_mean_counts_and_not_the_luckiest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = [arm("random-1", "random"), arm("random-2", "random"), arm("longest")]
    values = {"random-1": 0.9, "random-2": 0.3, "longest": 0.7}
    pairs = [("random-1", "longest", -0.2, -0.01)]
    found = placed(monkeypatch, runs, values, pairs, {"random": 0.6})
    assert found.best is not None
    assert found.best.name == "longest"
    assert "above the second, random, by" in found.verdict
    assert [one.name for one in found.means] == ["random (all runs)"]
