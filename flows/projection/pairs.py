"""Paired differences between configurations, on the questions that both answered."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flows.configurations import Configuration
from flows.results.rows import DIFFERENCE, GAINED, LOST, differences, rows_of
from rdpt_core.files.writing import csv_writer
from rdpt_core.provenance.labels import FOUR_WAY
from rdpt_core.results.comparisons import Answered, comparison_results
from rdpt_core.tables.rows import Grade, Result, Trace
from tasks.plan import Plan
from tasks.results import answered_of
from tasks.stage import Parts

ACCURACY, TOKENS = "accuracy", "tokens"
LIFT = "grades/lift"
OF_ARMS = {ACCURACY: DIFFERENCE, **{str(c): f"provenance/difference/{c}" for c in FOUR_WAY}}
"""What is compared of two arms, to its metric."""
OF_STUDENTS = {ACCURACY: LIFT, "gained": GAINED, "lost": LOST}
"""What is compared of a distilled and the undistilled student."""


@dataclass(frozen=True)
class Pair:
    """A difference: of what, between whom; `training` in place of a benchmark for tokens."""

    benchmark: str
    first: str
    second: str
    what: str
    row: Result

    @property
    def name(self) -> str:
        return f"{self.first} - {self.second}"


def pairs_of(
    configurations: Sequence[Configuration], benchmarks: Sequence[str], plan: Plan
) -> list[Pair]:
    """Arms against each other, then all against the students and the teachers; accuracies first,
    those of the first benchmark before others."""
    found = [*_of_training(configurations, plan)]
    for benchmark in benchmarks:
        found += _of_arms(configurations, benchmark, plan)
        found += _of_students(configurations, benchmark, plan)
        found += _of_teachers(configurations, benchmark, plan)
    order = [ACCURACY, *OF_STUDENTS, *OF_ARMS, TOKENS]
    return sorted(found, key=lambda pair: order.index(pair.what))


def _of_arms(configurations: Sequence[Configuration], benchmark: str, plan: Plan) -> Iterator[Pair]:
    for one in differences(configurations, f"test:{benchmark}", plan):
        first, _, second = one.name.partition(" - ")
        for what, metric in OF_ARMS.items():
            if metric in one.rows:
                yield Pair(benchmark, first, second, what, one.rows[metric])


def _of_training(configurations: Sequence[Configuration], plan: Plan) -> Iterator[Pair]:
    for one in differences(configurations, "train", plan):
        first, _, second = one.name.partition(" - ")
        for row in one.rows.values():
            yield Pair("training", first, second, TOKENS, row)


def _of_students(
    configurations: Sequence[Configuration], benchmark: str, plan: Plan
) -> Iterator[Pair]:
    for one in configurations:
        rows = rows_of(one, f"test:{benchmark}", plan)
        for what, metric in OF_STUDENTS.items():
            if metric in rows and one.student is not None:
                yield Pair(benchmark, one.name, one.student, what, rows[metric])


def _of_teachers(
    configurations: Sequence[Configuration], benchmark: str, plan: Plan
) -> Iterator[Pair]:
    """Each distilled student, then each undistilled one, against its teacher."""
    answers = {one: _answered(one, benchmark, plan) for one in configurations}
    for teacher in (one for one in configurations if one.kind == "teacher"):
        for one in _pupils(configurations, teacher):
            ours, theirs = answers[one], answers[teacher]
            if ours is None or theirs is None or LIFT not in _own(one, benchmark, plan):
                continue
            found = comparison_results(one.digest, benchmark, "", [ours], [theirs])
            row = next(row for row in found if row.metric.startswith(DIFFERENCE))
            yield Pair(benchmark, one.name, teacher.name, ACCURACY, row)


def _own(one: Configuration, benchmark: str, plan: Plan) -> dict[str, Result] | set[str]:
    """Rows of an arm that answered itself; those of a baseline always do."""
    return {LIFT} if one.kind == "student" else rows_of(one, f"test:{benchmark}", plan)


def _pupils(
    configurations: Sequence[Configuration], teacher: Configuration
) -> Iterator[Configuration]:
    taught = [one for one in configurations if one.teacher == teacher.name and one.kind == "arm"]
    yield from taught
    students = {one.student for one in taught}
    yield from (one for one in configurations if one.kind == "student" and one.name in students)


def _answered(one: Configuration, benchmark: str, plan: Plan) -> Answered | None:
    """What it answered, as far as that is complete."""
    side = f"test:{benchmark}"
    tables = [one.find("traces", side), one.find("grades", side)]
    states = [plan.state(table) for table in tables if table is not None]
    if len(states) < len(tables) or not all(state.complete for state in states):
        return None
    traces, grades = (state.parts for state in states)
    store = plan.store
    return answered_of(Parts(store, Trace, traces), Parts(store, Grade, grades), None, None)


def pairs_csv(pairs: Sequence[Pair]) -> bytes:
    """All pairs, with every digit."""
    file = io.StringIO()
    writer = csv_writer(file.write)
    writer.writerow(("benchmark", "first", "second", "what", "value", "low", "high", "n", "note"))
    for pair in pairs:
        row = pair.row
        numbers = (row.value, row.low, row.high, row.n, row.note)
        writer.writerow((pair.benchmark, pair.first, pair.second, pair.what, *numbers))
    return file.getvalue().encode()
