"""Simulated cases, of which the truth is known: how often does a 95% interval hold it?

The intervals are those of `rdpt_core/statistics/intervals.py` themselves, called with a column
for each repetition. What is simulated is what they do not know: how difficulty is spread over
questions. `beta` spreads it smoothly, `uneven` puts most of it at both ends, `bimodal` makes every
question solved always or never, `alike` makes all questions equal.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import erf, exp

import numpy as np

from rdpt_core.statistics.intervals import (
    Flags,
    Floats,
    Limits,
    Ratio,
    averaged,
    difference_limits,
    linearised,
    mean_limits,
    run_limits,
    share_limits,
)

CONCENTRATION = {"beta": 2.0, "uneven": 0.3}
"""Sum of both parameters of the beta distribution of difficulty."""
MEANS = (0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99)
QUESTIONS = (30, 60, 99, 100, 240, 500)
SAMPLES = (1, 4, 16, 64)
SPREADS = ("alike", "beta", "uneven", "bimodal")
TOKENS_SPREAD = 0.6
"""Standard deviation of the logarithm of a trace's tokens."""
SAME = 0.8
APART = 0.04
BLOCK = 2000
"""Repetitions that are simulated at once."""
MIN_OTHERS = 500


@dataclass(frozen=True)
class Case:
    kind: str
    """A key of SIMULATED."""
    spread: str
    mean: float
    num_questions: int
    num_samples: int = 0
    """0 where a question has sentences, 5 to 39 of them, fewer the higher its share."""
    num_seeds: int = 1
    seed_spread: float = 0.0
    """Standard deviation of what a fine-tuning seed adds to the mean."""
    same: float = SAME
    """Share of questions that are as difficult for one arm as for the other."""
    won: float = 0.0
    """Share of questions that one arm always solves and the other never."""

    @property
    def name(self) -> str:
        size = (
            f"{self.num_questions}x{self.num_samples}" if self.num_samples else self.num_questions
        )
        seeds = f" seeds {self.num_seeds} spread {self.seed_spread:g}" if self.num_seeds > 1 else ""
        same = f" same {self.same:g}" if self.same != SAME else ""
        won = f" won {self.won:g}" if self.won else ""
        return f"{self.kind} {self.spread} {self.mean:g} {size}{seeds}{same}{won}"


@dataclass(frozen=True)
class Covered:
    """One case, simulated."""

    coverage: float
    width: float
    """Median."""
    conservative: float
    """Share of the intervals that say so."""
    misses_rare: float
    """Share of the intervals that say that they may miss what is rare."""
    coverage_of_others: float | None
    """Coverage of the intervals that do not say so, where they are MIN_OTHERS or more."""
    repetitions: int


def cases() -> Iterator[Case]:
    for spread, mean, size, samples in product(SPREADS, MEANS, QUESTIONS, SAMPLES):
        yield Case("accuracy", spread, mean, size, samples)
    for spread, mean, size in product(("beta", "uneven"), MEANS, QUESTIONS):
        yield Case("share", spread, mean, size)
        yield Case("shares paired", spread, mean, size)
    for spread, mean, size, samples in product(SPREADS, MEANS, QUESTIONS, (1, 4, 64)):
        yield Case("paired", spread, mean, size, samples)
    for spread, mean, size, samples in product(
        SPREADS, (0.5, 0.9, 0.97, 0.99), QUESTIONS, (1, 4, 64)
    ):
        yield Case("apart", spread, mean, size, samples)
    for mean, size in product((0.3, 0.5, 0.9), QUESTIONS):
        yield Case("total", "bimodal", mean, size)
    for mean, size, samples, seeds, moved in product(
        (0.5, 0.9, 0.97), (30, 100, 500), (1, 4, 16), (3, 5), (0.0, 0.02, 0.05)
    ):
        for kind in ("runs", "crossed"):
            yield Case(kind, "beta", mean, size, samples, seeds, moved)

    for spread, mean, size, samples, won in product(
        ("alike", "beta", "uneven"), (0.5, 0.9), QUESTIONS, (16, 64), (0.01, 0.025, 0.05)
    ):
        yield Case("rare", spread, mean, size, samples, won=won)


def others() -> Iterator[Case]:
    """Cases between those above, with which no constant was chosen."""
    sizes, means = (45, 150, 320), (0.05, 0.2, 0.4, 0.6, 0.8, 0.95)
    for spread, mean, size, samples in product(SPREADS, means, sizes, (2, 8, 32)):
        yield Case("accuracy", spread, mean, size, samples)
    for spread, mean, size in product(("beta", "uneven"), means, sizes):
        yield Case("share", spread, mean, size)
        yield Case("shares paired", spread, mean, size)
    for spread, mean, size, samples, same in product(SPREADS, means, sizes, (2, 16), (0.5, 0.95)):
        yield Case("paired", spread, mean, size, samples, same=same)
    for spread, mean, size, samples in product(SPREADS, (0.6, 0.8, 0.95), sizes, (2, 16)):
        yield Case("apart", spread, mean, size, samples)
    for mean, size in product((0.2, 0.7), sizes):
        yield Case("total", "bimodal", mean, size)
    for mean, size, samples, seeds, moved in product(
        (0.7, 0.95), (45, 240), (2, 8), (3, 4), (0.01, 0.04)
    ):
        for kind in ("runs", "crossed"):
            yield Case(kind, "beta", mean, size, samples, seeds, moved)


CASES, OTHERS = tuple(cases()), tuple(others())


# ---------------------------------------------------------------------------- one case


def covered(case: Case, repetitions: int) -> Covered:
    """Equal cases draw equal numbers; more repetitions begin with those of fewer."""
    generator = np.random.default_rng(zlib.crc32(case.name.encode()))
    sizes = [min(BLOCK, repetitions - start) for start in range(0, repetitions, BLOCK)]
    blocks = [block(case, generator, size) for size in sizes]
    hits, widths, conservative, misses_rare = map(np.concatenate, zip(*blocks, strict=True))
    others = hits[~misses_rare]
    return Covered(
        float(hits.mean()),
        float(np.median(widths)),
        float(conservative.mean()),
        float(misses_rare.mean()),
        float(others.mean()) if len(others) >= MIN_OTHERS else None,
        repetitions,
    )


def block(case: Case, generator: np.random.Generator, size: int) -> tuple[Floats | Flags, ...]:
    limits, truth = SIMULATED[case.kind](case, generator, size)
    hits = (limits.low <= truth + 1e-12) & (truth - 1e-12 <= limits.high)
    return hits, limits.high - limits.low, limits.conservative, limits.misses_rare


def difficulties(case: Case, ranks: Floats) -> Floats:
    """Probability of a correct sample, or share of a class, from ranks in [0, 1)."""
    from scipy.stats import beta

    if case.spread == "alike":
        return np.full(ranks.shape, case.mean)
    if case.spread == "bimodal":
        return (ranks >= 1 - case.mean).astype(np.float64)
    total = CONCENTRATION[case.spread]
    grid = beta.ppf((np.arange(4000) + 0.5) / 4000, case.mean * total, (1 - case.mean) * total)
    grid += case.mean - grid.mean()  # of so few ranks
    return np.asarray(np.clip(grid, 0, 1)[(ranks * 4000).astype(np.int64)])


def sampled(case: Case, p: Floats, generator: np.random.Generator) -> Ratio:
    """What an arm shows of questions x repetitions."""
    if case.num_samples:
        return linearised(
            generator.binomial(case.num_samples, p) / case.num_samples, np.ones(p.shape)
        )
    sizes = generator.integers(5, 40 - (25 * p).astype(np.int64))
    return linearised(generator.binomial(sizes, p).astype(np.float64), sizes.astype(np.float64))


def true_share(case: Case) -> float:
    """Share of sentences where long traces have lower shares: `E[size p] / E[size]`."""
    p = difficulties(case, (np.arange(4000) + 0.5) / 4000)
    if case.num_samples:
        return float(p.mean())
    sizes = (5 + 39 - (25 * p).astype(np.int64)) / 2
    return float((sizes * p).sum() / sizes.sum())


def single(case: Case, generator: np.random.Generator, repetitions: int) -> tuple[Limits, float]:
    p = difficulties(case, generator.random((case.num_questions, repetitions)))
    return share_limits(sampled(case, p, generator)), true_share(case)


def paired(case: Case, generator: np.random.Generator, repetitions: int) -> tuple[Limits, float]:
    """Two arms of equal means, some of the questions being equally difficult for both."""
    ranks, others, changed = generator.random((3, case.num_questions, repetitions))
    arms = (ranks, np.where(changed < case.same, ranks, others))
    one, other = (sampled(case, difficulties(case, r), generator) for r in arms)
    return difference_limits(one, other), 0.0


def apart(case: Case, generator: np.random.Generator, repetitions: int) -> tuple[Limits, float]:
    """The same, the other arm's mean being lower by APART."""
    ranks, others, changed = generator.random((3, case.num_questions, repetitions))
    lower = replace(case, mean=case.mean - APART)
    one = sampled(case, difficulties(case, ranks), generator)
    p = difficulties(lower, np.where(changed < case.same, ranks, others))
    return difference_limits(one, sampled(lower, p, generator)), APART


def rare(case: Case, generator: np.random.Generator, repetitions: int) -> tuple[Limits, float]:
    """Two arms that differ by questions which one wins whole, all others being alike for both."""
    shape = (case.num_questions, repetitions)
    p, won = difficulties(case, generator.random(shape)), generator.random(shape) < case.won
    one, other = (sampled(case, np.where(won, x, p), generator) for x in (1.0, 0.0))
    return difference_limits(one, other), case.won


def seeds_of(case: Case, p: Floats, generator: np.random.Generator) -> list[Ratio]:
    """Runs of one arm, each moved as a whole: most where a question is neither sure nor lost."""
    room = p * (1 - p)
    moved = case.seed_spread * min(1.0, 4 * case.mean * (1 - case.mean)) / room.mean()
    shifts = moved * generator.standard_normal((case.num_seeds, p.shape[1]))
    return [sampled(case, np.clip(p + shift * room, 0, 1), generator) for shift in shifts]


def runs(case: Case, generator: np.random.Generator, repetitions: int) -> tuple[Limits, float]:
    p = difficulties(case, generator.random((case.num_questions, repetitions)))
    return run_limits(seeds_of(case, p, generator)), true_share(case)


def crossed(case: Case, generator: np.random.Generator, repetitions: int) -> tuple[Limits, float]:
    p = difficulties(case, generator.random((case.num_questions, repetitions)))
    arms = [seeds_of(case, p, generator) for _ in range(2)]
    return difference_limits(averaged(arms[0]), averaged(arms[1]), arms), 0.0


def total(case: Case, generator: np.random.Generator, repetitions: int) -> tuple[Limits, float]:
    """Tokens of the longer of two traces less those of one of them, which is one-sided; `mean` is
    the share of questions where the arms differ at all."""
    shape = (case.num_questions, repetitions)
    one, other = generator.lognormal(0.0, TOKENS_SPREAD, (2, *shape))
    gaps = np.where(generator.random(shape) < case.mean, np.maximum(other - one, 0), 0.0)
    # E[max(x, y)] - E[x] of two equal lognormal numbers.
    longer = erf(TOKENS_SPREAD / 2) * exp(TOKENS_SPREAD**2 / 2)
    return mean_limits(gaps), case.mean * longer


SIMULATED: dict[str, Callable[[Case, np.random.Generator, int], tuple[Limits, float]]] = {
    "accuracy": single,
    "share": single,
    "paired": paired,
    "apart": apart,
    "shares paired": paired,
    "runs": runs,
    "crossed": crossed,
    "total": total,
    "rare": rare,
}
