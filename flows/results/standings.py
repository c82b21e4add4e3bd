"""The order of the configurations in a table: arms by their accuracy, then means of arms of several
runs, then the baselines; and how sure it is that the highest is the best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from flows.configurations import Configuration
from flows.results.cells import points, points_interval
from flows.results.rows import DIFFERENCE, arm_means, differences, rows_of
from rdpt_core.tables.rows import Result
from tasks.plan import Plan

MARK = " *"
"""Follows the name of the arm with the highest accuracy."""

Arm: TypeAlias = tuple[str | None, ...]
"""Teacher, student and name of an arm."""


@dataclass(frozen=True)
class Standing:
    """A line of a table of accuracies."""

    name: str
    arm: Arm
    accuracy: Result
    rows: dict[str, Result]
    """By metric; empty for the mean of an arm."""

    @property
    def value(self) -> float:
        return self.accuracy.value or 0.0


@dataclass(frozen=True)
class Standings:
    """Who stands where on a benchmark, each group sorted by accuracy."""

    arms: list[Standing]
    means: list[Standing]
    baselines: list[Standing]
    verdict: str
    """What the mark of the best means; empty where none is marked."""
    best: Standing | None

    @property
    def groups(self) -> list[list[Standing]]:
        return [group for group in (self.arms, self.means, self.baselines) if group]

    @property
    def order(self) -> list[str]:
        """Names of the configurations as they stand."""
        return [one.name for one in (*self.arms, *self.baselines)]

    def name(self, one: Standing) -> str:
        return one.name + MARK if one is self.best else one.name

    def style(self, one: Standing) -> str:
        return "bold" if one is self.best else ""

    @property
    def num_questions(self) -> int | None:
        """Where all answered equally many."""
        found = {one.accuracy.n for group in self.groups for one in group}
        return found.pop() if len(found) == 1 else None


def standings(configurations: Sequence[Configuration], side: str, plan: Plan) -> Standings:
    """Those that have results."""
    found: dict[bool, list[Standing]] = {True: [], False: []}
    for configuration in configurations:
        if rows := rows_of(configuration, side, plan):
            one = Standing(configuration.name, _arm(configuration), rows["accuracy"], rows)
            found[configuration.kind == "arm"].append(one)
    arms, baselines = _sorted(found[True]), _sorted(found[False])
    means = _sorted(
        [
            Standing(name, _arm(configuration), mean, {})
            for configuration in configurations
            for name, mean in arm_means([configuration], side, plan)
        ]
    )
    several = {key for key, count in Counter(map(_arm, configurations)).items() if count > 1}
    # The highest of several runs of one arm is mostly luck: their mean counts.
    compared = _sorted([*means, *(one for one in arms if one.arm not in several)])
    is_alone = len(compared) < 2 or compared[0].value == compared[1].value
    best = None if is_alone else compared[0]
    pairs = list(_pairs(configurations, side, plan)) if best else []
    verdict = _verdict(compared, pairs) if best else ""
    return Standings(arms, means, baselines, verdict, best)


def _arm(configuration: Configuration) -> Arm:
    """An arm of one run that has no selector is named as its configuration."""
    name = configuration.arm or configuration.name
    return (configuration.teacher, configuration.student, name)


def _sorted(found: Sequence[Standing]) -> list[Standing]:
    return sorted(found, key=lambda one: -one.value)


def _pairs(
    configurations: Sequence[Configuration], side: str, plan: Plan
) -> Iterator[tuple[Arm, Arm, Result]]:
    """Two arms and the difference of their accuracies."""
    arms = {one.name: _arm(one) for one in configurations}
    for pair in differences(configurations, side, plan):
        if DIFFERENCE in pair.rows:
            teacher, student, _ = first = arms[pair.configuration]
            yield first, (teacher, student, pair.against), pair.rows[DIFFERENCE]


def _verdict(compared: Sequence[Standing], pairs: Sequence[tuple[Arm, Arm, Result]]) -> str:
    """The best against all that it was compared with: some of them may not differ from it."""
    best, second = compared[0], compared[1]
    known = {other: row for one, other, row in pairs if one == best.arm}
    known |= {one: _negated(row) for one, other, row in pairs if other == best.arm}
    alike = [str(o.arm[-1]) for o in compared[1:] if (row := known.get(o.arm)) and _holds_0(row)]
    if alike:
        return f"* highest accuracy; not told apart from {' or '.join(alike)}"
    if (row := known.get(second.arm)) is None or row.low is None:
        return "* highest accuracy"
    difference = f"{points(row)} {points_interval(row)} points"
    return f"* highest accuracy; above the second, {second.arm[-1]}, by {difference}"


def _holds_0(row: Result) -> bool:
    return row.low is not None and row.high is not None and row.low <= 0 <= row.high


def _negated(row: Result) -> Result:
    """The difference the other way round."""
    value, low, high = (None if x is None else -x for x in (row.value, row.high, row.low))
    return Result(
        row.configuration, row.side, row.benchmark, row.metric, value, low, high, row.n, row.note
    )
