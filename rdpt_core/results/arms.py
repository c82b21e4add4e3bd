"""Two arms against each other, paired by question: accuracies, shares, tokens.

An arm has a run for each fine-tuning seed and each draw of its picks. What an interval covers of
them beside the questions, and what it is conditional on, stands in its note.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rdpt_core.statistics.effects import (
    ONE_QUESTION,
    Estimate,
    exact,
    limits_note,
    nothing,
    times,
    with_note,
)
from rdpt_core.statistics.intervals import (
    Floats,
    Limits,
    Ratio,
    averaged,
    difference_limits,
    linearised,
    mean_limits,
    run_limits,
    share_limits,
    student,
)

MIN_RUNS = 3
"""Seeds or draws that say how far an arm moves with them."""
POWER = 0.8
FEW_DIFFER = "effectively fewer than ten questions differ: covers 90% or more"
Counted = Mapping[str, tuple[float, float]]
"""Question to the two counts of a share: sentences of a class, and of all classes. Of an accuracy
they are the mean correctness and 1."""


def as_counts(values: Mapping[str, float]) -> Counted:
    """Numbers of which the mean over questions is compared."""
    return {problem: (float(value), 1.0) for problem, value in values.items()}


@dataclass(frozen=True, slots=True)
class Arm:
    runs: Sequence[Counted]
    draws: tuple[str, ...] = ()
    """Label of each run's draw; empty where the selector draws nothing."""

    @property
    def num_draws(self) -> int:
        return len(set(self.draws))

    @property
    def num_seeds(self) -> int:
        return len(self.runs) // max(self.num_draws, 1)

    @property
    def num_replicates(self) -> int:
        return self.num_draws if self.num_draws > 1 else self.num_seeds

    @property
    def is_covered(self) -> bool:
        """True if the interval covers how the arm moves with its draws or, of one draw, seeds."""
        return self.num_replicates >= MIN_RUNS

    def replicates(self, questions: Sequence[str]) -> list[Ratio]:
        """One for each draw, its seeds averaged; of one draw, one for each seed."""
        tables = [np.array([run[q] for q in questions], dtype=np.float64) for run in self.runs]
        ratios = [linearised(table[:, :1], table[:, 1:]) for table in tables]
        if self.num_draws < 2:
            return ratios
        return [
            averaged([r for r, of in zip(ratios, self.draws, strict=True) if of == draw])
            for draw in dict.fromkeys(self.draws)
        ]


# ---------------------------------------------------------------- estimates


def arm_mean(arm: Arm) -> Estimate:
    """Mean over an arm's runs of their accuracy or share, on the questions that all have."""
    common, missing = _common(arm)
    if missing:
        return missing
    runs = arm.replicates(common)
    limits = run_limits(runs) if arm.is_covered else share_limits(averaged(runs))
    return _estimate(averaged(runs).value, limits, len(common), [arm])


def difference(arm: Arm, against: Arm) -> Estimate:
    """Mean over runs of `arm` minus that of `against`, on the questions that all have and some
    count anything of; where a run counts nothing there, its counts are 0."""
    common, missing = _common(arm, against)
    if missing:
        return missing
    arms = [arm, against]
    runs = [one.replicates(common) for one in arms]
    covered = [found for one, found in zip(arms, runs, strict=True) if one.is_covered]
    one, other = map(averaged, runs)
    limits = difference_limits(one, other, covered)
    return _estimate(one.value - other.value, limits, len(common), arms)


def _estimate(value: Floats, limits: Limits, n: int, arms: Sequence[Arm]) -> Estimate:
    if n == 1:
        return with_note(exact(float(value[0]), 1, ONE_QUESTION), conditions(arms))
    found = Estimate(
        float(value[0]), float(limits.low[0]), float(limits.high[0]), n, limits_note(limits)
    )
    return with_note(found, conditions(arms))


def _common(*arms: Arm) -> tuple[list[str], Estimate | None]:
    """The questions; an estimate without value where nothing can be said."""
    runs = [run for arm in arms for run in arm.runs]
    shared = set.intersection(*(set(run) for run in runs))
    common = sorted(q for q in shared if any(run[q][1] for run in runs))
    if not all(any(run[q][1] for q in common) for run in runs):
        note = "nothing labelled" if shared else "no question in common"
        return common, nothing(note, len(common))
    return common, None


def left_out(estimate: Estimate, arm: Counted, against: Counted) -> Estimate:
    """With the number of questions in the note that only one of the two has."""
    num_left = len(arm.keys() ^ against.keys())
    return with_note(estimate, f"{num_left} questions of one arm left out" if num_left else None)


# ---------------------------------------------------------------- notes


def conditions(arms: Sequence[Arm]) -> str:
    """What an interval covers beside the questions, and what it is conditional on."""
    covered = [
        f"{arm.num_replicates} {'draws' if arm.num_draws > 1 else 'seeds'}"
        for arm in arms
        if arm.is_covered
    ]
    others = [arm.num_seeds for arm in arms if not arm.is_covered]
    found = [f"covers {' and '.join(covered)}"] if covered else []
    found += [seeds_note(min(others))] if others else []
    found += [note for arm in arms if (note := draws_note(arm.draws))]
    return "; ".join(found)


def seeds_note(num_seeds: int) -> str:
    if num_seeds == 1:
        return "one seed: conditional on this checkpoint"
    return f"{num_seeds} seeds: conditional on these checkpoints"


def draws_note(draws: Sequence[str]) -> str | None:
    """None where nothing is drawn, or enough draws are covered."""
    labels = list(dict.fromkeys(draws))
    if len(labels) == 1:
        return f"one draw of {labels[0]}"
    return f"conditional on {len(labels)} draws" if 0 < len(labels) < MIN_RUNS else None


# ---------------------------------------------------------------- sizes and totals


def detectable_difference(arm: Mapping[str, float], against: Mapping[str, float]) -> Estimate:
    """Smallest true paired difference found with 80% power by a two-sided test at 5%:
    `(t(.975) + t(.8)) sd / sqrt(n)` over the questions' differences, n - 1 degrees of freedom."""
    common = sorted(arm.keys() & against.keys())
    if len(common) < 2:
        return nothing("fewer than two questions in common", len(common))
    gaps = np.array([arm[q] - against[q] for q in common])
    freedom = len(common) - 1
    quantiles = float(student(freedom) + student(freedom, POWER))
    spread = float(gaps.std(ddof=1))
    if spread == 0:
        return nothing("all questions alike", len(common))
    return exact(quantiles * spread / len(common) ** 0.5, len(common))


def total_difference(arm: Mapping[str, float], against: Mapping[str, float]) -> Estimate:
    """Sum over questions of `arm` minus `against`, such as the tokens trained on. A question that
    one arm has not chosen counts 0 there: it was not trained on."""
    questions = sorted(arm.keys() | against.keys())
    if not questions:
        return nothing("no question")
    gaps = np.array([arm.get(q, 0.0) - against.get(q, 0.0) for q in questions])
    n, mean = len(gaps), float(gaps.mean())
    if n < 2:
        return times(exact(mean, n, ONE_QUESTION), n)
    if gaps.min() == gaps.max():
        return times(exact(mean, n, "all questions alike: no interval"), n)
    limits = mean_limits(gaps[:, None])
    note = FEW_DIFFER if limits.conservative[0] else None
    return times(Estimate(mean, float(limits.low[0]), float(limits.high[0]), n, note), n)
