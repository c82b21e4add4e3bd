"""The configurations of a report with their rows of `results`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flows.configurations import Configuration
from flows.report.reader import TRAIN, StudyReader, Use
from flows.results.rows import rows_of
from rdpt_core.report.bundle import Number, Shown
from rdpt_core.results.comparisons import ARM_ACCURACY
from rdpt_core.tables.rows import Result
from tasks.stage import Parts


@dataclass(frozen=True)
class Cast:
    """The configurations and sides of a report, with the names and indices that it gives them."""

    configurations: list[Configuration]
    sides: list[str]
    """Those that are shown: benchmarks, or at last the training side, where no benchmark has
    labels."""

    @classmethod
    def of(cls, reader: StudyReader) -> Cast:
        configurations = reader.opened.study.configurations()
        sides = [f"test:{benchmark.name}" for benchmark in reader.opened.experiment.benchmarks]
        has_labels = any(reader.parts(c, "provenance", s) for c in configurations for s in sides)
        return cls(configurations, sides if has_labels else [*sides, TRAIN])

    @property
    def benchmarks(self) -> list[str]:
        """Names of the sides."""
        return [side_name(side) for side in self.sides]

    def name(self, configuration: Configuration) -> str:
        """One that has another's name says its kind."""
        name = configuration.name
        same = [one for one in self.configurations if one.name == name]
        return name if len(same) == 1 else f"{name} ({configuration.kind})"

    def uses(self, reader: StudyReader) -> list[Use]:
        """The texts that exist. Candidates, and labels of theirs, that several arms share are shown
        once, under the first of them."""
        found, seen = [], set()
        for shown, configuration in enumerate(self.configurations):
            for benchmark, side in enumerate(self.sides):
                keys = [p.key for p in reader.parts(configuration, "traces", side)]
                labels = [p.key for p in reader.parts(configuration, "provenance", side)]
                same = (side, *keys, *labels)
                if keys and not (side == TRAIN and same in seen):
                    found.append(Use(configuration, side, shown, benchmark))
                    seen.add(same)
        return found

    @property
    def baseline(self) -> str | None:
        """Name of the undistilled student."""
        return next((self.name(c) for c in self.configurations if c.kind == "student"), None)

    def undistilled(self, configuration: Configuration) -> str | None:
        """Name of the student that a configuration's was distilled from."""
        for one in self.configurations:
            if (one.kind, one.student) == ("student", configuration.student):
                return self.name(one)
        return None

    def runs(self, configuration: Configuration, arm: str | None) -> list[Configuration]:
        """All runs of an arm of the same teacher and student."""
        of = configuration.teacher, configuration.student, arm
        return [c for c in self.configurations if (c.teacher, c.student, c.arm) == of]

    def arm_name(self, configuration: Configuration, arm: str | None) -> str:
        """An arm of the same teacher and student; its mean where it has several runs."""
        runs = self.runs(configuration, arm)
        if len(runs) == 1:
            return self.name(runs[0])
        several = [
            name
            for name, values in (
                (configuration.student, {c.student for c in self.configurations if c.arm}),
                (configuration.teacher, {c.teacher for c in self.configurations if c.arm}),
            )
            if name and len(values) > 1
        ]
        return f"{'-'.join([arm or '', *several])} (all runs)"


# ---------------------------------------------------------------------------- configurations


def shown(cast: Cast, reader: StudyReader) -> list[Shown]:
    """Every configuration, in the order of its index, then the means of arms of several runs."""
    return [*(_shown(cast, c, reader) for c in cast.configurations), *_means(cast, reader)]


def _shown(cast: Cast, configuration: Configuration, reader: StudyReader) -> Shown:
    is_import = configuration.kind == "arm" and configuration.selector is None
    rows = {side: rows_of(configuration, side, reader.plan) for side in configuration.sides}
    found = {side_name(s): {metric: number_of(r) for metric, r in rows[s].items()} for s in rows}
    return Shown(
        name=cast.name(configuration),
        kind="distilled" if is_import else configuration.kind,
        teacher=configuration.teacher,
        student=configuration.student,
        selector=configuration.selector,
        seed=configuration.seed,
        results={name: numbers for name, numbers in found.items() if numbers},
    )


def _means(cast: Cast, reader: StudyReader) -> Iterator[Shown]:
    for configuration in cast.configurations:
        results: dict[str, dict[str, Number]] = {}
        for use in configuration.uses:
            if use.role == "arm":
                parts = Parts(reader.plan.store, Result, reader.plan.state(use.table).parts)
                rows = {row.metric: row for found in parts for row in found}
                if ARM_ACCURACY in rows:
                    number = number_of(rows[ARM_ACCURACY])
                    results[side_name(use.side)] = {"accuracy": number, ARM_ACCURACY: number}
        if results:
            yield Shown(
                name=cast.arm_name(configuration, configuration.arm),
                kind="mean",
                teacher=configuration.teacher,
                student=configuration.student,
                selector=configuration.arm,
                seed=None,
                results=results,
            )


def side_name(side: str) -> str:
    """The benchmark's; one that is called as the training side is says what it is."""
    name = side.removeprefix("test:")
    return f"{name} (benchmark)" if name == TRAIN != side else name


def number_of(row: Result) -> Number:
    return Number(row.value, row.low, row.high, row.n, row.note)
