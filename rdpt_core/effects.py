"""Statistics: every number with its interval, its n, and what the interval does not cover.

One distinction runs through: the unit that is resampled is the question, with all its traces and
sentences, never the sentence (method.md sections 8 and 13). Every estimate here is a ratio of sums
over questions, so one bootstrap and one linearised Student-t serve means, shares and differences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

NUM_RESAMPLES = 1000
SEED = 20251220
"""Of the resamples; one for everything, so that all classes and arms see the same ones."""
FEW_QUESTIONS = 100
"""Below it the bootstrap of questions covers 90 to 94% at 30 questions (method.md section 13)."""
MIN_SEEDS = 3
LEVEL = 0.95
POWER = 0.8
APPROXIMATE = "approximate"


@dataclass(frozen=True, slots=True)
class Estimate:
    value: float | None
    low: float | None
    """95% interval, two-sided; None where there is none."""
    high: float | None
    n: int
    """Of the units that the interval resamples: questions, unless the note says otherwise."""
    note: str | None = None


def nothing(note: str | None = None, n: int = 0) -> Estimate:
    """The estimate of what cannot be estimated."""
    return Estimate(None, None, None, n, note)


def exact(value: float | None, n: int, note: str | None = None) -> Estimate:
    """A number without an interval, such as a count."""
    return Estimate(value, None, None, n, note)


def with_note(estimate: Estimate, note: str) -> Estimate:
    return replace(estimate, note=f"{estimate.note}; {note}" if estimate.note else note)


# ---------------------------------------------------------------- one sample of questions


def ratios(
    numerators: Floats,
    denominators: Floats,
    bounds: tuple[float, float] = (0.0, 1.0),
    seed: int = SEED,
    num_resamples: int = NUM_RESAMPLES,
) -> list[Estimate]:
    """Per column c of `numerators` (questions x c): sum of it / sum of `denominators`.

    From FEW_QUESTIONS questions on, the percentile interval of the cluster bootstrap; below, the
    linearised Student-t interval, marked approximate. Questions with denominator 0 are left out.
    `bounds` are the values that the ratio can take; the interval is cut there.
    """
    used = denominators > 0
    tops, bottoms = numerators[used].astype(np.float64), denominators[used].astype(np.float64)
    num_questions = len(bottoms)
    if num_questions == 0:
        return [nothing() for _ in range(numerators.shape[1])]
    values = tops.sum(axis=0) / bottoms.sum()
    if num_questions >= FEW_QUESTIONS:
        lows, highs = _percentiles(tops, bottoms, seed, num_resamples)
        note = None
    else:
        half = _student_t_half_widths(tops, bottoms, values)
        lows, highs = values - half, values + half
        note = APPROXIMATE
    return [
        _finished(value, low, high, num_questions, note, bounds)
        for value, low, high in zip(values, lows, highs, strict=True)
    ]


def ratio(
    numerators: Floats,
    denominators: Floats,
    bounds: tuple[float, float] = (0.0, 1.0),
    seed: int = SEED,
    num_resamples: int = NUM_RESAMPLES,
) -> Estimate:
    """`ratios` of one column."""
    return ratios(numerators[:, None], denominators, bounds, seed, num_resamples)[0]


def mean(values: Floats, bounds: tuple[float, float] = (0.0, 1.0), seed: int = SEED) -> Estimate:
    """Mean over questions; with one mean correctness per question it is avg@k."""
    return ratio(values, np.ones(len(values)), bounds, seed)


def resampled_sums(columns: Floats, seed: int, num_resamples: int) -> Floats:
    """Column sums over resampled questions, resamples x columns.

    Equal seed and number of questions give equal resamples, whatever the columns.
    """
    generator = np.random.default_rng(seed)
    size = len(columns)
    sums = np.empty((num_resamples, columns.shape[1]))
    for row in sums:
        drawn = generator.integers(size, size=size)
        row[:] = np.bincount(drawn, minlength=size) @ columns
    return sums


def _percentiles(
    tops: Floats, bottoms: Floats, seed: int, num_resamples: int
) -> tuple[Floats, Floats]:
    sums = resampled_sums(np.column_stack([tops, bottoms]), seed, num_resamples)
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(sums[:, :-1] / sums[:, -1:], [tail, 100 - tail], axis=0)
    return low, high


def _standard_errors(tops: Floats, bottoms: Floats, values: Floats) -> Floats:
    """Of ratios of sums, by linearisation: residual `top - value x bottom` per question."""
    num_questions = len(bottoms)
    residuals = tops - values * bottoms[:, None]
    scale = num_questions / max(num_questions - 1, 1)
    return np.asarray(np.sqrt(scale * (residuals**2).sum(axis=0)) / bottoms.sum())


def _student_t_half_widths(tops: Floats, bottoms: Floats, values: Floats) -> Floats:
    if len(bottoms) < 2:
        return np.full(len(values), np.nan)
    quantile = float(stats.t.ppf((1 + LEVEL) / 2, len(bottoms) - 1))
    return quantile * _standard_errors(tops, bottoms, values)


def _finished(
    value: float, low: float, high: float, n: int, note: str | None, bounds: tuple[float, float]
) -> Estimate:
    """The interval cut at `bounds`. One without width would claim certainty that nobody has: at
    the edge of [0, 1] it becomes Wilson's for n questions, elsewhere there is none."""
    if n < 2:
        return exact(float(value), n, "one question: no interval")
    if high - low <= 1e-12:
        if bounds == (0.0, 1.0) and value in bounds:
            return with_note(wilson(round(value) * n, n), "all questions alike: Wilson")
        return exact(float(value), n, "all questions alike: no interval")
    return Estimate(float(value), max(float(low), bounds[0]), min(float(high), bounds[1]), n, note)


def wilson(num_hits: int, num_trials: int) -> Estimate:
    """Share of independent units with Wilson's score interval (E. B. Wilson, 1927)."""
    if num_trials == 0:
        return nothing()
    z = float(stats.norm.ppf((1 + LEVEL) / 2))
    share = num_hits / num_trials
    shrink = 1 + z**2 / num_trials
    centre = (share + z**2 / (2 * num_trials)) / shrink
    spread = share * (1 - share) / num_trials + z**2 / (4 * num_trials**2)
    half = z * spread**0.5 / shrink
    return Estimate(share, max(centre - half, 0.0), min(centre + half, 1.0), num_trials)


# ---------------------------------------------------------------- two arms


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
    fewer, questions alone, and the note says what that leaves out (method.md section 13).
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
