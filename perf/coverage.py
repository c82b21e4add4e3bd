"""How often a 95% interval holds the truth: one grid of simulated cases, all kinds of estimate.

    .venv/bin/python perf/coverage.py                 # all cases; resumes where it was stopped
    .venv/bin/python perf/coverage.py --repetitions 500 --json look.json

The intervals are those of `rdpt_core/statistics/intervals.py` themselves, called with a column
for each repetition. What is simulated is what they do not know: how difficulty is spread over
questions. `beta` spreads it smoothly, `uneven` puts most of it at both ends, `bimodal` makes every
question solved always or never, `alike` makes all questions equal.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import erf, exp
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rdpt_core.statistics import intervals
from rdpt_core.statistics.intervals import (
    FEW,
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

HERE = Path(__file__).parent
CONCENTRATION = {"beta": 2.0, "uneven": 0.3}
"""Sum of both parameters of the beta distribution of difficulty."""
MEANS = (0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99)
QUESTIONS = (30, 60, 99, 100, 240, 500)
SAMPLES = (1, 4, 16, 64)
SPREADS = ("alike", "beta", "uneven", "bimodal")
TOKENS_SPREAD = 0.6
"""Standard deviation of the logarithm of a trace's tokens."""
SAME = 0.8
"""Share of questions that are as difficult for one arm as for the other."""
APART = 0.04
LOWEST, HIGHEST = 0.93, 0.97

Cells = dict[str, list[float]]
"""Name of a case to its coverage, median width, and the share of intervals marked conservative."""


@dataclass(frozen=True)
class Case:
    kind: str
    """accuracy, share, paired, apart, shares paired, runs, crossed or total."""
    spread: str
    mean: float
    num_questions: int
    num_samples: int = 0
    """0 where a question has sentences, 5 to 39 of them, fewer the higher its share."""
    num_seeds: int = 1
    seed_spread: float = 0.0
    """Standard deviation of what a fine-tuning seed adds to the mean."""

    @property
    def name(self) -> str:
        size = (
            f"{self.num_questions}x{self.num_samples}" if self.num_samples else self.num_questions
        )
        seeds = f" seeds {self.num_seeds} spread {self.seed_spread:g}" if self.num_seeds > 1 else ""
        return f"{self.kind} {self.spread} {self.mean:g} {size}{seeds}"


@dataclass(frozen=True)
class Covered:
    """One case, simulated."""

    coverage: float
    width: float
    """Median."""
    conservative: float
    """Share of the intervals that say so."""


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


CASES = tuple(cases())


# ---------------------------------------------------------------------------- one case


def covered(case: Case, repetitions: int) -> Covered:
    """Equal cases draw equal numbers."""
    generator = np.random.default_rng(zlib.crc32(case.name.encode()))
    limits, truth = SIMULATED[case.kind](case, generator, repetitions)
    hits = (limits.low <= truth + 1e-12) & (truth - 1e-12 <= limits.high)
    return Covered(
        float(hits.mean()),
        float(np.median(limits.high - limits.low)),
        float(limits.conservative.mean()),
    )


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
    """Of sentences, where long traces have lower shares: `E[size p] / E[size]`."""
    p = difficulties(case, (np.arange(4000) + 0.5) / 4000)
    if case.num_samples:
        return float(p.mean())
    sizes = (5 + 39 - (25 * p).astype(np.int64)) / 2
    return float((sizes * p).sum() / sizes.sum())


def single(case: Case, generator: np.random.Generator, repetitions: int) -> tuple[Limits, float]:
    p = difficulties(case, generator.random((case.num_questions, repetitions)))
    return share_limits(sampled(case, p, generator)), true_share(case)


def paired(case: Case, generator: np.random.Generator, repetitions: int) -> tuple[Limits, float]:
    """Two arms of equal means, SAME of the questions being equally difficult for both."""
    ranks, others, changed = generator.random((3, case.num_questions, repetitions))
    arms = (ranks, np.where(changed < SAME, ranks, others))
    one, other = (sampled(case, difficulties(case, r), generator) for r in arms)
    return difference_limits(one, other), 0.0


def apart(case: Case, generator: np.random.Generator, repetitions: int) -> tuple[Limits, float]:
    """The same, the other arm's mean being lower by APART."""
    ranks, others, changed = generator.random((3, case.num_questions, repetitions))
    lower = replace(case, mean=case.mean - APART)
    one = sampled(case, difficulties(case, ranks), generator)
    p = difficulties(lower, np.where(changed < SAME, ranks, others))
    return difference_limits(one, sampled(lower, p, generator)), APART


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
    few = np.count_nonzero(gaps, axis=0) < FEW
    return Limits(*mean_limits(gaps), few), case.mean * longer


SIMULATED: dict[str, Callable[[Case, np.random.Generator, int], tuple[Limits, float]]] = {
    "accuracy": single,
    "share": single,
    "paired": paired,
    "apart": apart,
    "shares paired": paired,
    "runs": runs,
    "crossed": crossed,
    "total": total,
}


# ---------------------------------------------------------------------------- all cases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--json", type=Path, default=HERE / "results" / "coverage.json")
    options = parser.parse_args()
    made = {"repetitions": options.repetitions, "code": digest()}
    cells = known(options.json, made)
    for number, case in enumerate(CASES, start=1):
        if case.name not in cells:
            cells[case.name] = rounded(covered(case, options.repetitions))
        if number % 100 == 0 or number == len(CASES):
            written = made | {"cells": cells}
            options.json.write_text(json.dumps(written).replace("], ", "],\n ") + "\n")
            print(f"{number} of {len(CASES)}", file=sys.stderr)
    print(table(cells))
    draw(cells, options.json.with_suffix(".png"))


def rounded(found: Covered) -> list[float]:
    return [round(found.coverage, 4), round(found.width, 4), round(found.conservative, 2)]


def digest() -> str:
    """Of the code that is measured and the code that measures."""
    files = (Path(intervals.__file__), Path(__file__))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def known(path: Path, made: dict[str, object]) -> Cells:
    """What an earlier call left that was made the same way."""
    if not path.exists():
        return {}
    found = json.loads(path.read_text())
    return dict(found.pop("cells")) if {k: found.get(k) for k in made} == made else {}


def is_marked(cell: list[float]) -> bool:
    """True if most of a cell's intervals say that they are conservative."""
    return cell[2] > 0.5


def table(cells: Cells) -> str:
    lines = [
        "| estimate | cells | lowest | .93 to .97 | above, marked | above, unmarked | highest "
        "unmarked | below |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind in SIMULATED:
        own = [cells[case.name] for case in CASES if case.kind == kind]
        unmarked = [cell[0] for cell in own if not is_marked(cell)]
        num_above = sum(cell[0] > HIGHEST for cell in own)
        num_unmarked = sum(coverage > HIGHEST for coverage in unmarked)
        num_below = sum(cell[0] < LOWEST for cell in own)
        counts = (
            kind,
            len(own),
            f"{min(cell[0] for cell in own):.3f}",
            len(own) - num_above - num_below,
            num_above - num_unmarked,
            num_unmarked,
            f"{max(unmarked):.3f}",
            num_below,
        )
        lines.append(f"| {' | '.join(map(str, counts))} |")
    return "\n".join(lines)


def draw(cells: Cells, path: Path) -> None:
    """Coverage of every cell over the mean, one panel for each kind."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5), layout="constrained")
    panels = figure.subplots(2, 4, sharex=True, sharey=True).flat
    generator = np.random.default_rng(0)
    for panel, kind in zip(panels, SIMULATED, strict=True):
        own = [case for case in CASES if case.kind == kind and case.name in cells]
        for marked, colour, label in ((False, "C0", "narrow"), (True, "C1", "marked conservative")):
            some = [case for case in own if is_marked(cells[case.name]) == marked]
            x = [case.mean + 0.01 * generator.standard_normal() for case in some]
            panel.plot(
                x, [cells[case.name][0] for case in some], ".", color=colour, ms=3, label=label
            )
        panel.axhspan(LOWEST, HIGHEST, color="0.9", zorder=0)
        panel.axhline(0.95, color="0.6", lw=0.8)
        panel.set_title(kind, fontsize=9)
        panel.set_ylim(0.9, 1.005)
    figure.axes[0].legend(fontsize=7, loc="lower right")
    figure.supxlabel("true mean or share", fontsize=9)
    figure.supylabel("intervals that hold the truth", fontsize=9)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
