"""Two arms against each other, paired by question: accuracies, shares, tokens.

Everything here is a mean over questions of a difference, so that one interval serves all; a share
becomes such a mean by linearisation. Fine-tuning seeds are resampled where there are enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from rdpt_core.effects import (
    LEVEL,
    NO_WIDTH,
    NUM_RESAMPLES,
    SEED,
    Estimate,
    Floats,
    exact,
    mean,
    nothing,
    with_note,
)

MIN_SEEDS = 3
POWER = 0.8
ANY = (-np.inf, np.inf)
Counted = Mapping[str, tuple[float, float]]
"""Question to the two counts of a share: sentences of a class, and of all classes."""


def paired_difference(
    arm: Mapping[str, float], against: Mapping[str, float], seed: int = SEED
) -> Estimate:
    """Mean over questions of `arm` minus `against`, on the questions that both have.

    The mappings give a question's mean correctness. Questions of one arm alone are counted in the
    note.
    """
    common = sorted(arm.keys() & against.keys())
    if not common:
        return nothing("no question in common")
    gaps = np.array([arm[q] - against[q] for q in common])
    estimate = mean(gaps, (-1.0, 1.0), seed)
    num_left = len(arm.keys() ^ against.keys())
    if num_left == 0:
        return estimate
    return with_note(estimate, f"{num_left} questions of one arm left out")


def detectable_difference(arm: Mapping[str, float], against: Mapping[str, float]) -> Estimate:
    """Smallest true paired difference found with 80% power by a two-sided test at 5%:
    `(t(.975) + t(.8)) sd / sqrt(n)` over the questions' differences, n - 1 degrees of freedom."""
    common = sorted(arm.keys() & against.keys())
    if len(common) < 2:
        return nothing("fewer than two questions in common", len(common))
    gaps = np.array([arm[q] - against[q] for q in common])
    quantiles = stats.t.ppf([(1 + LEVEL) / 2, POWER], len(common) - 1)
    spread = float(gaps.std(ddof=1))
    if spread == 0:
        return nothing("all questions alike", len(common))
    return exact(float(quantiles.sum()) * spread / len(common) ** 0.5, len(common))


def seeds_note(num_seeds: int) -> str:
    """What an interval over questions alone is conditional on."""
    if num_seeds == 1:
        return "one seed: conditional on this checkpoint"
    return f"{num_seeds} seeds: conditional on these checkpoints"


def arm_difference(
    arm: Sequence[Mapping[str, float]],
    against: Sequence[Mapping[str, float]],
    seed: int = SEED,
    num_resamples: int = NUM_RESAMPLES,
) -> Estimate:
    """Difference of two arms, each given as one mapping of question to mean correctness per
    fine-tuning seed, on the questions that all have.

    With MIN_SEEDS seeds in both arms the interval resamples seeds and questions, crossed; with
    fewer, questions alone, and the note says what that leaves out (docs/method.md section 8).
    """
    common = sorted(set.intersection(*(set(run) for run in (*arm, *against))))
    if len(common) < 2:
        return nothing("fewer than two questions in common", len(common))
    tables = [np.array([[run[q] for q in common] for run in runs]) for runs in (arm, against)]
    num_seeds = min(len(arm), len(against))
    if num_seeds < MIN_SEEDS:
        gaps = tables[0].mean(axis=0) - tables[1].mean(axis=0)
        return with_note(mean(gaps, (-1.0, 1.0), seed), seeds_note(num_seeds))
    return _crossed(tables[0], tables[1], seed, num_resamples)


def share_difference(
    arm: Sequence[Counted],
    against: Sequence[Counted],
    seed: int = SEED,
    num_resamples: int = NUM_RESAMPLES,
) -> Estimate:
    """Difference of two arms' shares, each given as one `Counted` per fine-tuning seed, on the
    questions that all have and some labelled a sentence of; where a run has none, its counts are 0.

    The interval is that of `arm_difference` over linearised shares, which is the bootstrap of the
    shares themselves to first order in 1 / number of questions.
    """
    runs = [*arm, *against]
    shared = set.intersection(*(set(run) for run in runs))
    common = sorted(q for q in shared if any(run[q][1] for run in runs))
    if not all(any(run[q][1] for q in common) for run in runs):
        return nothing("nothing labelled" if shared else "no question in common", len(common))
    values = [_linearised(run, common) for run in runs]
    return arm_difference(values[: len(arm)], values[len(arm) :], seed, num_resamples)


def _linearised(run: Counted, questions: Sequence[str]) -> dict[str, float]:
    """Per question a value: their mean is the share, their spread that of the share."""
    tops, bottoms = np.array([run[q] for q in questions], dtype=np.float64).T
    share = tops.sum() / bottoms.sum()
    values = share + (tops - share * bottoms) / bottoms.mean()
    return dict(zip(questions, values.tolist(), strict=True))


def total_difference(
    arm: Mapping[str, float], against: Mapping[str, float], seed: int = SEED
) -> Estimate:
    """Sum over questions of `arm` minus `against`, such as the tokens trained on. A question that
    one arm has not chosen counts 0 there: nothing of it was trained on."""
    questions = sorted(arm.keys() | against.keys())
    if not questions:
        return nothing("no question")
    gaps = np.array([arm.get(q, 0.0) - against.get(q, 0.0) for q in questions])
    return _times(mean(gaps, ANY, seed), len(gaps))


def _times(one: Estimate, factor: int) -> Estimate:
    value, low, high = (None if x is None else x * factor for x in (one.value, one.low, one.high))
    return replace(one, value=value, low=low, high=high)


def _crossed(arm: Floats, against: Floats, seed: int, num_resamples: int) -> Estimate:
    """Seeds and questions resampled; both tables are seeds x questions.

    Of S seeds S - 1 are drawn, which makes the bootstrap's variance of a mean unbiased (Rao and Wu,
    1988); at S = 3 drawing 3 would lose a third of it. Resampling rows and columns counts the
    spread within cells (sampling noise) three times instead of once (Owen, 2007), so twice its
    share is taken off; without that the interval is up to 1.7 times too wide. The half width is a
    t quantile times the standard error, since percentiles of so few seeds cover too little.
    """
    tables = (arm, against)
    generator = np.random.default_rng(seed)
    found = np.array([_draw(tables, generator) for _ in range(num_resamples)])
    parts = _variances(tables)
    within = sum(_within_cells(table) for table in tables)
    largest = max(variance for variance, _ in parts)
    variance = max(float(found.var(ddof=1)) - 2 * within, largest)
    half = float(stats.t.ppf((1 + LEVEL) / 2, _satterthwaite(parts))) * variance**0.5
    value = float(arm.mean() - against.mean())
    note = f"{len(arm)} and {len(against)} seeds resampled with the questions"
    if half <= NO_WIDTH:
        return exact(value, arm.shape[1], "all questions and seeds alike: no interval")
    return Estimate(value, max(value - half, -1.0), min(value + half, 1.0), arm.shape[1], note)


def _draw(tables: tuple[Floats, Floats], generator: np.random.Generator) -> float:
    """The difference on resampled questions, the same for both arms, and seeds of each arm."""
    size = tables[0].shape[1]
    weights = np.bincount(generator.integers(size, size=size), minlength=size) / size
    arm, against = (
        table[generator.integers(len(table), size=len(table) - 1)].mean(axis=0) for table in tables
    )
    return float(weights @ (arm - against))


def _variances(tables: tuple[Floats, Floats]) -> list[tuple[float, int]]:
    """Of the difference: variance and degrees of freedom due to each arm's seeds and to the
    questions."""
    gaps = tables[0].mean(axis=0) - tables[1].mean(axis=0)
    samples = [*(table.mean(axis=1) for table in tables), gaps]
    return [(float(x.var(ddof=1)) / len(x), len(x) - 1) for x in samples]


def _within_cells(table: Floats) -> float:
    """Variance of the table's mean due to what neither seed nor question explains."""
    residuals = table - table.mean(axis=0) - table.mean(axis=1)[:, None] + table.mean()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    return float(np.square(residuals).sum()) / float(freedom * table.size)


def _satterthwaite(parts: list[tuple[float, int]]) -> float:
    """Degrees of freedom of a sum of variances."""
    total = sum(variance for variance, _ in parts)
    if total == 0:
        return float(parts[-1][1])
    return float(total**2 / sum(variance**2 / freedom for variance, freedom in parts))
