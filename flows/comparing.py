"""`rdpt compare`: the configurations of an experiment side by side, and where MLflow shows them.

Read from the store alone. A person gets tables of at most 100 columns where names allow it, a
program the rows of `results` behind them, tab-separated, with every digit.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

from flows.configurations import Configuration
from flows.report import (
    aligned,
    count,
    differences,
    interval,
    points,
    points_interval,
    rows_of,
    say_address,
    share,
)
from flows.verbs import runtime_of
from flows.workspace import Opened, open_asked
from rdpt_core.provenance import FOUR_WAY
from rdpt_core.rows import Result
from rdpt_core.table_output import UnixLines
from settings.loading import BadSettings
from tasks.stage import Plan

SHARES = tuple(f"provenance/share/{name}" for name in FOUR_WAY)


@dataclass(frozen=True)
class Compared:
    """A configuration on a benchmark."""

    configuration: Configuration
    test: dict[str, Result]
    """Metric to row."""
    train: dict[str, Result]
    seconds: Result
    """Of making all the parts that it uses, those that others use too included."""


def compare(file: str) -> int:
    """Raises BadSettings where there is no result yet."""
    opened = open_asked(file, runtime_of())
    plan = Plan(opened.store)
    found = {b.name: list(_compared(opened, f"test:{b.name}", plan))
             for b in opened.experiment.benchmarks}  # fmt: skip
    if not any(found.values()):
        raise BadSettings(str(opened.file), [
            f"{opened.experiment.name} has no results yet: rdpt run {opened.file}"
        ])  # fmt: skip
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
    parts = {(part.table, part.key): part.seconds
             for use in configuration.uses for part in plan.table(use.call).parts}  # fmt: skip
    note = "n counts parts, those that others use too included"
    return Result(configuration.digest, "test", side.partition(":")[2], "seconds",
                  sum(parts.values()), None, None, len(parts), note)  # fmt: skip


# ---------------------------------------------------------------------------- for people


def _print_tables(opened: Opened, found: dict[str, list[Compared]], plan: Plan) -> None:
    configurations = opened.study.configurations()
    for benchmark, rows in found.items():
        sys.stdout.write(f"\n{benchmark}: accuracy is avg@k with its 95% interval, "
                         "classes are shares of the labelled sentences\n")  # fmt: skip
        sys.stdout.write(aligned(list(_lines(rows))))
        pairs = list(_pairs(rows, configurations, f"test:{benchmark}", plan))
        if pairs:
            sys.stdout.write("\ndifferences in accuracy, on the same questions\n")
            sys.stdout.write(_noted(pairs))


def _lines(rows: Sequence[Compared]) -> Iterator[tuple[str, ...]]:
    yield ("configuration", "accuracy", "95%", *FOUR_WAY, "tokens", "seconds")
    for one in rows:
        accuracy = one.test["accuracy"]
        yield (one.configuration.name, share(accuracy), interval(accuracy),
               *(share(one.test.get(metric)) for metric in SHARES),
               count(one.train.get("tokens")), count(one.seconds))  # fmt: skip


def _pairs(
    rows: Sequence[Compared], configurations: Sequence[Configuration], side: str, plan: Plan
) -> Iterator[tuple[str, Result, Result | None]]:
    """What is compared, its difference, the smallest that would be found: over the undistilled
    student, then the arms against each other."""
    for one in rows:
        if "grades/lift" in one.test:
            name = f"{one.configuration.name} - {one.configuration.student}"
            yield name, one.test["grades/lift"], one.test.get("grades/detectable_lift")
    for pair in differences(configurations, side, plan):
        yield pair.name, pair.difference, pair.detectable


def _noted(pairs: Sequence[tuple[str, Result, Result | None]]) -> str:
    """What an interval does not cover stands below the table, once."""
    notes = list(dict.fromkeys(row.note for _, row, _ in pairs if row.note))
    lines = [("", "points", "95%", "smallest detectable", "note")]
    for name, row, detectable in pairs:
        lines.append((name, points(row), points_interval(row), points(detectable).lstrip("+"),
                      f"({notes.index(row.note) + 1})" if row.note else ""))  # fmt: skip
    below = [f"({number}) {note}\n" for number, note in enumerate(notes, start=1)]
    return aligned(lines) + "".join(below)


# ---------------------------------------------------------------------------- for programs


def _print_rows(opened: Opened, found: dict[str, list[Compared]], plan: Plan) -> None:
    """Rows of `results`, configurations by name; a missing number is empty."""
    writer = csv.writer(UnixLines(sys.stdout.write), delimiter="\t", lineterminator="\r\n")
    names = [field.name for field in fields(Result)]
    writer.writerow(names)
    configurations = opened.study.configurations()
    for benchmark, rows in found.items():
        chosen = [replace(row, configuration=one.configuration.name)
                  for one in rows for row in _numbers(one)]  # fmt: skip
        chosen += [replace(row, configuration=pair.configuration)
                   for pair in differences(configurations, f"test:{benchmark}", plan)
                   for row in (pair.difference, pair.detectable)]  # fmt: skip
        writer.writerows([getattr(row, name) for name in names] for row in chosen)


def _numbers(one: Compared) -> Iterator[Result]:
    for metric in ("accuracy", *SHARES, "grades/lift", "grades/detectable_lift"):
        if metric in one.test:
            yield one.test[metric]
    if "tokens" in one.train:
        yield one.train["tokens"]
    yield one.seconds
