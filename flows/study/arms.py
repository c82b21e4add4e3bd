"""Arms compared: the mean over the runs of an arm, and its differences from other arms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from flows.configurations import Configuration, TableUse
from settings.texts import Benchmark
from tasks import results
from tasks.stage import Table


def compared(
    arms: Sequence[Configuration], benchmarks: Sequence[Benchmark]
) -> Iterator[Configuration]:
    """The configurations, the first of each arm with the arm's mean and its differences from
    the arms after it.

    Only arms of one teacher and one student are compared; the fine-tuning seeds and the draws
    of a selector are its runs.
    """
    runs: dict[tuple[str | None, ...], list[Configuration]] = {}
    for one in arms:
        runs.setdefault((one.teacher, one.student, one.arm), []).append(one)
    keys = list(runs)
    for one in arms:
        key = (one.teacher, one.student, one.arm)
        others = [k for k in keys[keys.index(key) + 1 :] if k[:2] == key[:2]]
        if one is runs[key][0]:
            extra = [*_means(runs[key], benchmarks)] + [
                use for other in others for use in _differences(runs[key], runs[other], benchmarks)
            ]
            one = replace(one, uses=(*one.uses, *extra))
        yield one


def _means(runs: list[Configuration], benchmarks: Sequence[Benchmark]) -> Iterator[TableUse]:
    """Accuracy of an arm of several runs on each benchmark that the runs answer."""
    for benchmark in benchmarks if len(runs) > 1 else ():
        side = f"test:{benchmark.name}"
        if _tables(runs, "traces", side) and benchmark.own_answers:
            table = results.arm(
                arm_traces=_tables(runs, "traces", side),
                arm_grades=_tables(runs, "grades", side),
                arm_labels=_tables(runs, "provenance", side),
                configuration=runs[0].digest,
                benchmark=benchmark.name,
                arm_draws=_draws(runs),
            )
            yield TableUse(side, "arm", table)


def _differences(
    arm: list[Configuration], other: list[Configuration], benchmarks: Sequence[Benchmark]
) -> Iterator[TableUse]:
    """Differences of answers and sentences on each benchmark, and of tokens trained on."""
    against = other[0].arm
    assert against is not None
    names = {"configuration": arm[0].digest, "against": against}
    for benchmark in benchmarks:
        side = f"test:{benchmark.name}"
        if _tables([*arm, *other], "traces", side):
            table = results.compared(
                arm_traces=_tables(arm, "traces", side),
                arm_grades=_tables(arm, "grades", side),
                arm_labels=_tables(arm, "provenance", side),
                other_traces=_tables(other, "traces", side),
                other_grades=_tables(other, "grades", side),
                other_labels=_tables(other, "provenance", side),
                **names,
                benchmark=benchmark.name,
                own_answers=benchmark.own_answers,
                arm_draws=_draws(arm),
                other_draws=_draws(other),
            )
            yield TableUse(side, f"against {against}", table)
    picks = [one[0].find("selection", "train") for one in (arm, other)]
    table = results.compared_tokens(
        traces=arm[0].find("traces", "train"),
        arm=picks[0],
        other=picks[1],
        source="problems",
        draws=(*arm[0].draw, *other[0].draw),
        **names,
    )
    yield TableUse("train", f"against {against}", table)


def _tables(runs: Sequence[Configuration], table: str, side: str) -> tuple[Table, ...]:
    """A table of each run; none where the runs have no such table."""
    return tuple(found for run in runs if (found := run.find(table, side)) is not None)


def _draws(runs: list[Configuration]) -> tuple[str, ...]:
    return tuple(label for run in runs for label in run.draw)
