"""`rdpt compare`: the configurations of an experiment side by side, and where MLflow shows them.

Read from the store alone. A person gets tables that fit the terminal, a
program the rows of `results` behind them, tab-separated, with every digit.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from flows.commands.documents import print_json
from flows.configurations import Configuration
from flows.results.cells import (
    Footnotes,
    count,
    count_interval,
    points,
    ranged_points,
    ranged_share,
    share,
)
from flows.results.rows import (
    DETECTABLE,
    DIFFERENCE,
    GAINED,
    LOST,
    NET,
    arm_means,
    differences,
    domains_of,
    rows_of,
)
from flows.results.standings import Standing, standings
from flows.results.tables import (
    print_domains,
    print_fitted,
    print_groups,
    print_heading,
    print_notes,
    say_address,
    titled,
)
from flows.runtime import read_runtime
from flows.workspace import Opened, open_asked
from rdpt_core.files.writing import csv_writer
from rdpt_core.provenance.labels import FOUR_WAY
from rdpt_core.report.tables import Cell, Ranged, Row, TableColumn
from rdpt_core.results.summary import BY_DOMAIN
from rdpt_core.tables.rows import Result
from settings.loading import BadSettings
from tasks.plan import Plan

SHARES = tuple(f"provenance/share/{name}" for name in FOUR_WAY)
DIFFERENCES = {
    "accuracy": DIFFERENCE,
    **{str(name): f"provenance/difference/{name}" for name in FOUR_WAY},
    "tokens": "selection/difference/tokens",
}
"""What is compared of two arms, to its metric."""


@dataclass(frozen=True)
class Measured:
    """A configuration on a benchmark."""

    configuration: Configuration
    test: dict[str, Result]
    """Metric to row."""
    train: dict[str, Result]
    seconds: Result
    """Seconds of building all parts that it uses, shared ones included."""
    own_seconds: float
    """Seconds of parts that no other configuration uses."""

    @property
    def name(self) -> str:
        return self.configuration.name


def compare(file: str, as_json: bool = False) -> int:
    """Raises BadSettings where there is no result yet."""
    opened = open_asked(file, read_runtime())
    plan = Plan(opened.store)
    found = _found(opened, plan)
    if not any(found.values()):
        raise BadSettings(
            str(opened.file),
            [f"{opened.experiment.name} has no results yet: rdpt run {opened.file}"],
        )
    if as_json:
        print_json(document(opened, plan))
    elif sys.stdout.isatty():
        _print_tables(opened, found, plan)
    else:
        _print_rows(opened, found, plan)
    sys.stdout.flush()  # before MLflow is imported, which takes seconds
    say_address(opened)
    return 0


def document(opened: Opened, plan: Plan) -> dict[str, Any]:
    """Rows of `results` with the names of their configurations: what is compared, and all of the
    training side."""
    compared = list(_rows(opened, _found(opened, plan), plan))
    known = {(row.configuration, row.side, row.metric) for row in compared}
    trained = [
        replace(row, configuration=one.name)
        for one in opened.study.configurations()
        for row in rows_of(one, "train", plan).values()
        if (one.name, row.side, row.metric) not in known
    ]
    return {"experiment": opened.experiment.name, "results": [*compared, *trained]}


def _found(opened: Opened, plan: Plan) -> dict[str, list[Measured]]:
    """What is compared, by benchmark."""
    return {
        benchmark.name: list(_compared(opened, f"test:{benchmark.name}", plan))
        for benchmark in opened.experiment.benchmarks
    }


def _compared(opened: Opened, side: str, plan: Plan) -> Iterator[Measured]:
    configurations = opened.study.configurations()
    users = Counter(key for one in configurations for key in _parts(one, plan))
    for configuration in configurations:
        test = rows_of(configuration, side, plan)
        if test:
            train = rows_of(configuration, "train", plan)
            parts = _parts(configuration, plan)
            own = sum(seconds for key, seconds in parts.items() if users[key] == 1)
            yield Measured(configuration, test, train, _seconds(configuration, side, parts), own)


def _parts(configuration: Configuration, plan: Plan) -> dict[tuple[str, str], float]:
    """Seconds of each part that a configuration uses, by table and key."""
    return {
        (part.table, part.key): part.seconds
        for use in configuration.uses
        for part in plan.state(use.table).parts
    }


def _seconds(
    configuration: Configuration, side: str, parts: Mapping[tuple[str, str], float]
) -> Result:
    note = "n counts parts, those that others use too included"
    return Result(
        configuration.digest,
        "test",
        side.partition(":")[2],
        "seconds",
        sum(parts.values()),
        None,
        None,
        len(parts),
        note,
    )


# ---------------------------------------------------------------------------- for people


def _print_tables(opened: Opened, found: dict[str, list[Measured]], plan: Plan) -> None:
    configurations = opened.study.configurations()
    for benchmark in opened.experiment.benchmarks:
        side = f"test:{benchmark.name}"
        places = standings(configurations, side, plan)
        rows = sorted(found[benchmark.name], key=lambda one: places.order.index(one.name))
        about = "avg@k with its 95% interval, shares of labelled sentences"
        print_heading(f"{titled(benchmark, places)}: {about}")
        print_groups(_COLUMNS, places, _cells)
        _print_cost(rows)
        print_domains({one.name: one.test for one in rows})
        pairs = list(_pairs(rows, configurations, side, plan))
        if pairs:
            print_heading("differences on the same questions: accuracy and shares in points")
            _print_pairs(pairs)


_COLUMNS = (
    TableColumn("configuration"),
    TableColumn("accuracy"),
    *(TableColumn(str(n)) for n in FOUR_WAY),
)


def _cells(one: Standing) -> tuple[Cell, ...]:
    return (ranged_share(one.accuracy), *(share(one.rows.get(metric)) for metric in SHARES))


_COST = (
    TableColumn("configuration"),
    TableColumn("tokens trained on", "tokens"),
    TableColumn("own seconds", "own s"),
    TableColumn("shared seconds", "shared s"),
)


def _print_cost(rows: Sequence[Measured]) -> None:
    """Work that several configurations use was done once, so the columns do not add up."""
    print_heading("work: own is that of one configuration, shared serves others as well")
    lines = [
        Row(
            (
                one.name,
                count(one.train.get("tokens")),
                f"{one.own_seconds:,.0f}",
                f"{(one.seconds.value or 0.0) - one.own_seconds:,.0f}",
            )
        )
        for one in rows
    ]
    print_fitted(_COST, lines)


@dataclass(frozen=True)
class DifferenceLine:
    """A line of differences: of what, between whom."""

    name: str
    what: str
    difference: Result
    detectable: Result | None = None
    """The smallest that would be found."""

    def cells(self) -> tuple[Cell, Cell]:
        if self.what == "tokens":
            return Ranged(count(self.difference, "+"), count_interval(self.difference)), ""
        detectable = points(self.detectable).lstrip("+") if self.detectable else ""
        return ranged_points(self.difference), detectable


def _pairs(
    rows: Sequence[Measured],
    configurations: Sequence[Configuration],
    side: str,
    plan: Plan,
) -> Iterator[DifferenceLine]:
    """Over the undistilled student, then the arms against each other."""
    for one in rows:
        if "grades/lift" in one.test:
            name = f"{one.configuration.name} - {one.configuration.student}"
            yield DifferenceLine(
                name, "accuracy", one.test["grades/lift"], one.test.get("grades/detectable_lift")
            )
    trained = {
        (pair.configuration, pair.name): pair.rows
        for pair in differences(configurations, "train", plan)
    }
    for pair in differences(configurations, side, plan):
        found = {**pair.rows, **trained.get((pair.configuration, pair.name), {})}
        whats = [(what, metric) for what, metric in DIFFERENCES.items() if metric in found]
        for number, (what, metric) in enumerate(whats):
            detectable = found[DETECTABLE] if what == "accuracy" else None
            yield DifferenceLine("" if number else pair.name, what, found[metric], detectable)


_PAIRS = (
    TableColumn(""),
    TableColumn("difference"),
    TableColumn("smallest detectable", "detectable", rank=1),
    TableColumn("note", rank=2),
)


def _print_pairs(pairs: Sequence[DifferenceLine]) -> None:
    """The numbers of two arms below their names; what an interval covers or does not below all."""
    notes = Footnotes()
    rows: list[Row] = []
    for one in pairs:
        rows += [Row((one.name,), "bold")] if one.name else []
        rows.append(Row((f"  {one.what}", *one.cells(), notes.mark(one.difference))))
    print_fitted(_PAIRS, rows)
    print_notes(notes)


# ---------------------------------------------------------------------------- for programs


def _print_rows(opened: Opened, found: dict[str, list[Measured]], plan: Plan) -> None:
    """Rows of `results`, configurations by name; a missing number is empty."""
    writer = csv_writer(sys.stdout.write, "\t")
    names = [field.name for field in fields(Result)]
    writer.writerow(names)
    rows = _rows(opened, found, plan)
    writer.writerows([getattr(row, name) for name in names] for row in rows)


def _rows(opened: Opened, found: dict[str, list[Measured]], plan: Plan) -> Iterator[Result]:
    configurations = opened.study.configurations()
    for rows in found.values():
        for one in rows:
            for row in _numbers(one):
                yield replace(row, configuration=one.configuration.name)
    for benchmark in found:
        for name, row in arm_means(configurations, f"test:{benchmark}", plan):
            yield replace(row, configuration=name)
    for side in (*(f"test:{benchmark}" for benchmark in found), "train"):
        for pair in differences(configurations, side, plan):
            for row in pair.rows.values():
                yield replace(row, configuration=pair.configuration)


def _numbers(one: Measured) -> Iterator[Result]:
    domains = (f"{BY_DOMAIN}{domain}" for domain in domains_of([one.test]))
    for metric in (
        "accuracy",
        *domains,
        *SHARES,
        "grades/lift",
        "grades/detectable_lift",
        GAINED,
        LOST,
        NET,
    ):
        if metric in one.test:
            yield one.test[metric]
    if "tokens" in one.train:
        yield one.train["tokens"]
    yield one.seconds
