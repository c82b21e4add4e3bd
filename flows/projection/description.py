"""The text of an experiment's page in MLflow: its result, with links to runs and figures.

The page shows the first line, and the rest when the user opens it; the list of experiments shows
the beginning of the line as plain text. So the line begins with the best arm and its accuracy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from flows.configurations import Configuration
from flows.projection.links import CHARTS, RUN, figures_of, plain, report_of
from flows.projection.pairs import ACCURACY, Pair
from flows.results.cells import count, interval, points, points_interval, share
from flows.results.rows import GAINED, LOST, rows_of
from flows.workspace import Opened
from rdpt_core.provenance.labels import FOUR_WAY
from rdpt_core.tables.rows import Result
from tasks.projection import State

MAX_ROWS = 40
"""Rows of a table; the rest is in the page's own table."""


def description_of(
    opened: Opened,
    configurations: Sequence[Configuration],
    states: Mapping[str, State],
    pairs: Sequence[Pair],
    study: str,
    files: Sequence[str] = (),
) -> str:
    """`files` are those of the study's run: its report and figures are linked."""
    benchmarks = [benchmark.name for benchmark in opened.experiment.benchmarks]
    lines = [_first_line(opened, configurations, study, files), "", *figures_of(study, files), ""]
    for benchmark in benchmarks:
        found = {one: rows_of(one, f"test:{benchmark}", opened.plan) for one in configurations}
        lines += [f"### {plain(benchmark)}", "", *_table(found, states), ""]
        lines += [*_differences([p for p in pairs if p.benchmark == benchmark]), ""]
    return "\n".join(lines).rstrip() + "\n"


def _first_line(
    opened: Opened, configurations: Sequence[Configuration], study: str, files: Sequence[str]
) -> str:
    links = [f"[charts]({CHARTS})", f"[differences]({RUN.format(study)})"]
    found = [*report_of(study, files), *links]
    return f"{_best(opened, configurations)} {', '.join(found)}"


def _best(opened: Opened, configurations: Sequence[Configuration]) -> str:
    """The arm with the highest accuracy on the first benchmark, without markup."""
    for benchmark in opened.experiment.benchmarks[:1]:
        side = f"test:{benchmark.name}"
        arms = [one for one in configurations if one.kind == "arm"]
        found = {one.name: rows_of(one, side, opened.plan).get("accuracy") for one in arms}
        known = {n: row for n, row in found.items() if row is not None and row.value is not None}
        if known:
            name = max(known, key=lambda n: known[n].value or 0.0)
            row, of = known[name], f"highest of {len(known)}"
            return f"{plain(name)} {share(row)} {interval(row)} is {of}:"
    return "No arm has a result yet:"


def _table(
    found: Mapping[Configuration, Mapping[str, Result]], states: Mapping[str, State]
) -> Iterator[str]:
    """Highest accuracy first; those without a result at the end, with their state."""
    yield f"| configuration | accuracy | 95% | {' | '.join(FOUR_WAY)} | gained | lost | |"
    yield "|---" * (6 + len(FOUR_WAY)) + "|"
    for one in sorted(found, key=lambda one: -_value(found[one]))[:MAX_ROWS]:
        rows = found[one]
        state = states.get(one.digest)
        cells = [
            f"[{plain(one.name)}]({RUN.format(one.digest)})",
            share(rows.get("accuracy")),
            interval(rows.get("accuracy")),
            *(share(rows.get(f"provenance/share/{label}")) for label in FOUR_WAY),
            count(rows.get(GAINED)),
            count(rows.get(LOST)),
            state.lower() if state else "",
        ]
        yield f"| {' | '.join(cells)} |"


def _value(rows: Mapping[str, Result]) -> float:
    row = rows.get("accuracy")
    return -1.0 if row is None or row.value is None else row.value


def _differences(pairs: Sequence[Pair]) -> Iterator[str]:
    chosen = [pair for pair in pairs if pair.what == ACCURACY][:MAX_ROWS]
    if chosen:
        yield "| difference in accuracy | points | 95% |"
        yield "|---|---|---|"
    for pair in chosen:
        yield f"| {plain(pair.name)} | {points(pair.row)} | {points_interval(pair.row)} |"
