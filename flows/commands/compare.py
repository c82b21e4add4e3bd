"""`rdpt compare`: the configurations of an experiment side by side, and where MLflow shows them.

Read from the store alone. A person gets tables of at most 100 columns where names allow it, a
program the rows of `results` behind them, tab-separated, with every digit.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

from pydantic import Field
from pydantic_settings import CliPositionalArg

from flows.commands.verb import EXPERIMENT_HELP, Verb
from flows.configurations import Configuration
from flows.results.cells import (
    Footnotes,
    count,
    count_interval,
    interval,
    points,
    points_interval,
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
from flows.results.tables import print_domains, print_table, say_address, titled
from flows.runtime import read_runtime
from flows.workspace import Opened, open_asked
from rdpt_core.files.writing import csv_writer
from rdpt_core.provenance.labels import FOUR_WAY
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
class Compared:
    """A configuration on a benchmark."""

    configuration: Configuration
    test: dict[str, Result]
    """Metric to row."""
    train: dict[str, Result]
    seconds: Result
    """Seconds of building all parts that it uses, shared ones included."""


class Compare(Verb):
    """Compare configurations: accuracy, provenance, tokens, seconds, and their differences.

    rdpt compare pocket              tables, and a link to MLflow
    rdpt compare pocket > all.tsv    all their numbers, tab-separated
    """

    file: CliPositionalArg[str] = Field(description=EXPERIMENT_HELP)

    def act(self) -> int:
        return compare(self.file)


def compare(file: str) -> int:
    """Raises BadSettings where there is no result yet."""
    opened = open_asked(file, read_runtime())
    plan = Plan(opened.store)
    found = {
        b.name: list(_compared(opened, f"test:{b.name}", plan))
        for b in opened.experiment.benchmarks
    }
    if not any(found.values()):
        raise BadSettings(
            str(opened.file),
            [f"{opened.experiment.name} has no results yet: rdpt run {opened.file}"],
        )
    if sys.stdout.isatty():
        _print_tables(opened, found, plan)
    else:
        _print_rows(opened, found, plan)
    sys.stdout.flush()  # before MLflow is imported, which takes seconds
    say_address(opened)
    return 0


def _compared(opened: Opened, side: str, plan: Plan) -> Iterator[Compared]:
    for configuration in opened.study.configurations():
        test = rows_of(configuration, side, plan)
        if test:
            train = rows_of(configuration, "train", plan)
            seconds = _seconds(configuration, side, plan)
            yield Compared(configuration, test, train, seconds)


def _seconds(configuration: Configuration, side: str, plan: Plan) -> Result:
    parts = {
        (part.table, part.key): part.seconds
        for use in configuration.uses
        for part in plan.state(use.table).parts
    }
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


def _print_tables(opened: Opened, found: dict[str, list[Compared]], plan: Plan) -> None:
    configurations = opened.study.configurations()
    for benchmark in opened.experiment.benchmarks:
        rows = found[benchmark.name]
        sys.stdout.write(
            f"\n{titled(benchmark)}: avg@k with its 95% interval, shares of labelled sentences\n"
        )
        means = arm_means(configurations, f"test:{benchmark.name}", plan)
        print_table(_lines(rows, means))
        print_domains({one.configuration.name: one.test for one in rows})
        pairs = list(_pairs(rows, configurations, f"test:{benchmark.name}", plan))
        if pairs:
            sys.stdout.write("\ndifferences on the same questions: accuracy and shares in points\n")
            _print_pairs(pairs)


def _lines(
    rows: Sequence[Compared], means: Iterable[tuple[str, Result]]
) -> Iterator[tuple[str, ...]]:
    yield ("configuration", "accuracy", "95%", *FOUR_WAY, "tokens", "seconds")
    for one in rows:
        accuracy = one.test["accuracy"]
        yield (
            one.configuration.name,
            share(accuracy),
            interval(accuracy),
            *(share(one.test.get(metric)) for metric in SHARES),
            count(one.train.get("tokens")),
            count(one.seconds),
        )
    for name, accuracy in means:
        yield (name, share(accuracy), interval(accuracy), *("-" for _ in range(6)))


@dataclass(frozen=True)
class Pair:
    """A line of differences: of what, between whom."""

    name: str
    what: str
    difference: Result
    detectable: Result | None = None
    """The smallest that would be found."""

    def cells(self) -> tuple[str, str, str]:
        if self.what == "tokens":
            return count(self.difference, "+"), count_interval(self.difference), ""
        return (
            points(self.difference),
            points_interval(self.difference),
            points(self.detectable).lstrip("+") if self.detectable else "",
        )


def _pairs(
    rows: Sequence[Compared], configurations: Sequence[Configuration], side: str, plan: Plan
) -> Iterator[Pair]:
    """Over the undistilled student, then the arms against each other."""
    for one in rows:
        if "grades/lift" in one.test:
            name = f"{one.configuration.name} - {one.configuration.student}"
            yield Pair(
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
            yield Pair("" if number else pair.name, what, found[metric], detectable)


def _print_pairs(pairs: Sequence[Pair]) -> None:
    """The numbers of two arms below their names; what an interval covers or does not below all."""
    notes = Footnotes()
    lines = [("", "difference", "95%", "smallest detectable", "note")]
    for one in pairs:
        lines += [(one.name, "", "", "", "")] if one.name else []
        lines.append((f"  {one.what}", *one.cells(), notes.mark(one.difference)))
    print_table(lines, notes)


# ---------------------------------------------------------------------------- for programs


def _print_rows(opened: Opened, found: dict[str, list[Compared]], plan: Plan) -> None:
    """Rows of `results`, configurations by name; a missing number is empty."""
    writer = csv_writer(sys.stdout.write, "\t")
    names = [field.name for field in fields(Result)]
    writer.writerow(names)
    configurations = opened.study.configurations()
    chosen = [
        replace(row, configuration=one.configuration.name)
        for rows in found.values()
        for one in rows
        for row in _numbers(one)
    ]
    chosen += [
        replace(row, configuration=name)
        for benchmark in found
        for name, row in arm_means(configurations, f"test:{benchmark}", plan)
    ]
    chosen += [
        replace(row, configuration=pair.configuration)
        for side in (*(f"test:{benchmark}" for benchmark in found), "train")
        for pair in differences(configurations, side, plan)
        for row in pair.rows.values()
    ]
    writer.writerows([getattr(row, name) for name in names] for row in chosen)


def _numbers(one: Compared) -> Iterator[Result]:
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
