"""How often a 95% interval holds the truth: one grid of simulated cases, all kinds of estimate.

    .venv/bin/python perf/coverage.py                 # all cases; resumes where it was stopped
    .venv/bin/python perf/coverage.py --others        # cases that no constant was chosen with

The cases are those of `perf/simulated.py`. Each is repeated 2,000 times; one that is so near to a
border that its side is not known, ten times as often.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import sys
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from perf import simulated
from perf.simulated import CASES, OTHERS, SIMULATED, Case, Covered, covered
from rdpt_core.statistics import intervals

LOWEST, HIGHEST = 0.93, 0.97
REPETITIONS, MORE = 2000, 20000
RESULTS = Path(__file__).parent / "results"

Cells = dict[str, Covered]
"""Name of a case to what was found."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--others", action="store_true", help="cases with which no constant was chosen"
    )
    parser.add_argument("--json", type=Path, help="file of the results, in place of perf/results")
    options = parser.parse_args()
    cases, name = (OTHERS, "coverage_others") if options.others else (CASES, "coverage")
    path = options.json or RESULTS / f"{name}.json"
    cells = finished(path)
    for number, case in enumerate(cases, start=1):
        if case.name not in cells:
            cells[case.name] = measured(case)
        if number % 50 == 0 or number == len(cases):
            write(cells, path)
            print(f"{number} of {len(cases)}", file=sys.stderr, flush=True)
    print(table(cases, cells))
    if not options.others:
        draw(cells, path.with_suffix(".png"))


def measured(case: Case) -> Covered:
    found = covered(case, REPETITIONS)
    low, high = certain(found)
    near = low < LOWEST or (high > HIGHEST and not is_marked(found))
    return covered(case, MORE) if near else found


def certain(cell: Covered) -> tuple[float, float]:
    """95% interval of the coverage that so many repetitions measure."""
    from scipy.stats import binomtest

    num_hits = round(cell.coverage * cell.repetitions)
    interval = binomtest(num_hits, cell.repetitions).proportion_ci()
    return interval.low, interval.high


def is_marked(cell: Covered) -> bool:
    """True if most of a cell's intervals say that they are conservative."""
    return cell.conservative > 0.5


def is_above(cell: Covered) -> bool:
    """True if it is certain: of cells at .97, half would be measured above."""
    return certain(cell)[0] > HIGHEST


def is_below(cell: Covered) -> bool:
    return cell.coverage < LOWEST


# ---------------------------------------------------------------------------- files


def digest() -> str:
    """Digest of the code that is measured and the code that simulates, whatever its layout."""
    files = (intervals.__file__, simulated.__file__)
    code = "\n".join(ast.unparse(ast.parse(Path(file).read_text())) for file in files)
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def finished(path: Path) -> Cells:
    """What an earlier call left that the same code made."""
    if not path.exists():
        return {}
    content = json.loads(path.read_text())
    if content.get("code") != digest():
        return {}
    return {name: Covered(*cell) for name, cell in content["cells"].items()}


def write(cells: Cells, path: Path) -> None:
    def rounded(cell: Covered) -> list[float | None]:
        return [x if x is None else round(x, 4) for x in astuple(cell)]

    content = {
        "code": digest(),
        "columns": [field.name for field in fields(Covered)],
        "cells": {name: rounded(cell) for name, cell in cells.items()},
    }
    path.write_text(json.dumps(content).replace("], ", "],\n ") + "\n")


# ---------------------------------------------------------------------------- shown


def table(cases: tuple[Case, ...], cells: Cells) -> str:
    titles = (
        "estimate",
        "cells",
        "lowest",
        ".93 to .97",
        "of them marked",
        "above, marked",
        "above, unmarked",
        "highest unmarked",
        "below",
        "lowest without the rare note",
    )
    lines = [titles, ["---"] * len(titles)]
    for kind in dict.fromkeys(case.kind for case in cases):
        lines.append(row(kind, [cells[case.name] for case in cases if case.kind == kind]))
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def row(kind: str, cells: list[Covered]) -> tuple[object, ...]:
    above, below = list(filter(is_above, cells)), list(filter(is_below, cells))
    within = [cell for cell in cells if cell not in above and cell not in below]
    unmarked = [cell.coverage for cell in cells if not is_marked(cell)]
    others = [cell.coverage_of_others for cell in cells if cell.coverage_of_others is not None]
    num_marked = sum(map(is_marked, above))
    return (
        kind,
        len(cells),
        f"{min(cell.coverage for cell in cells):.3f}",
        len(within),
        sum(map(is_marked, within)),
        num_marked,
        len(above) - num_marked,
        f"{max(unmarked):.3f}" if unmarked else "",
        len(below),
        f"{min(others):.3f}",
    )


def draw(cells: Cells, path: Path) -> None:
    """Coverage of every cell over the mean, one panel for each kind."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7), layout="constrained")
    panels = figure.subplots(3, 3, sharex=True, sharey=True).flat
    generator = np.random.default_rng(0)
    for panel, kind in zip(panels, SIMULATED, strict=True):
        own = [case for case in CASES if case.kind == kind and case.name in cells]
        for marked, colour, label in ((False, "C0", "narrow"), (True, "C1", "marked conservative")):
            some = [case for case in own if is_marked(cells[case.name]) == marked]
            x = [case.mean + 0.01 * generator.standard_normal() for case in some]
            y = [cells[case.name].coverage for case in some]
            panel.plot(x, y, ".", color=colour, ms=3, label=label)
        panel.axhspan(LOWEST, HIGHEST, color="0.9", zorder=0)
        panel.axhline(0.95, color="0.6", lw=0.8)
        panel.set_title(kind, fontsize=9)
        panel.set_ylim(0.78, 1.005)
    figure.axes[0].legend(fontsize=7, loc="lower right")
    figure.supxlabel("true mean or share", fontsize=9)
    figure.supylabel("intervals that hold the truth", fontsize=9)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
