"""The rows of `results` that compare: two arms with each other, and the runs of one arm.

Where the arms do not write the texts themselves, only their sentences are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rdpt_core.provenance.curves import OUTCOMES, UNLABELLED
from rdpt_core.provenance.labels import FOUR_WAY, LABELS
from rdpt_core.results.arms import (
    Arm,
    arm_mean,
    as_counts,
    detectable_difference,
    difference,
    draws_note,
    total_difference,
)
from rdpt_core.results.counts import QuestionCounts, mean_correct
from rdpt_core.results.summary import metric_rows
from rdpt_core.statistics.effects import Estimate, with_note
from rdpt_core.tables.rows import Label, Result

ARM_ACCURACY = "grades/arm_accuracy"


@dataclass(frozen=True, slots=True)
class Answered:
    """A benchmark answered by one distilled student: one fine-tuning seed of an arm."""

    outcomes: QuestionCounts
    classes: QuestionCounts | None = None
    """Counts by `class_counts`; None where no sentence was attributed."""
    draw: str | None = None
    """Label of the draw that it was trained on; None where its selector draws nothing."""


def arm_results(configuration: str, benchmark: str, arm: Sequence[Answered]) -> Iterator[Result]:
    """The row of an arm of several runs: its mean accuracy, whose interval covers draws or seeds
    where there are enough."""
    mean = arm_mean(_by_accuracy(arm))
    return metric_rows(configuration, "test", benchmark, [(ARM_ACCURACY, mean)])


def comparison_results(
    configuration: str,
    benchmark: str,
    against: str,
    arm: Sequence[Answered],
    other: Sequence[Answered],
    own_answers: bool = True,
) -> Iterator[Result]:
    """Rows of an arm against the one named `against`, on the questions that all have. Accuracies
    are compared where the arms answered: texts that somebody else wrote are the same for both."""
    found: list[tuple[str, Estimate]] = []
    if own_answers:
        accuracy = difference(_by_accuracy(arm), _by_accuracy(other))
        found.append((f"grades/difference/{against}", accuracy))
        detectable = detectable_difference(_over_runs(arm), _over_runs(other))
        found.append((f"grades/detectable_difference/{against}", detectable))
    if all(run.classes is not None for run in (*arm, *other)):
        for name in FOUR_WAY:
            one = difference(_by_share(arm, name), _by_share(other, name))
            found.append((f"provenance/difference/{name}/{against}", one))
    return metric_rows(configuration, "test", benchmark, found)


def _over_runs(arm: Sequence[Answered]) -> dict[str, float]:
    runs = [mean_correct(run.outcomes) for run in arm]
    common = set.intersection(*(set(run) for run in runs)) if runs else set()
    return {problem: float(np.mean([run[problem] for run in runs])) for problem in common}


def _by_accuracy(arm: Sequence[Answered]) -> Arm:
    return Arm([as_counts(mean_correct(run.outcomes)) for run in arm], _draws(arm))


def _by_share(arm: Sequence[Answered], name: Label) -> Arm:
    """Per run and question the sentences of a class and all of them."""
    at = LABELS.index(name)
    runs = [{q: (float(x[at]), float(x.sum())) for q, x in _sentences(run).items()} for run in arm]
    return Arm(runs, _draws(arm))


def _draws(arm: Sequence[Answered]) -> tuple[str, ...]:
    return tuple(run.draw for run in arm if run.draw is not None)


def _sentences(run: Answered) -> QuestionCounts:
    """Labelled sentences by label, for every question that was answered."""
    assert run.classes is not None
    none = np.zeros((len(OUTCOMES), len(LABELS) + 1), dtype=np.int64)
    return {q: run.classes.get(q, none)[:, :UNLABELLED].sum(axis=0) for q in run.outcomes}


def tokens_difference(
    configuration: str,
    source: str,
    against: str,
    arm: Mapping[str, float],
    other: Mapping[str, float],
    draws: Sequence[str] = (),
) -> Iterator[Result]:
    """The row of what two arms train on; question to tokens of its picks. `draws` names those of
    the two that were drawn."""
    total = total_difference(arm, other)
    for draw in draws:
        total = with_note(total, draws_note([draw]))
    found = [(f"selection/difference/tokens/{against}", total)]
    return metric_rows(configuration, "train", source, found)
