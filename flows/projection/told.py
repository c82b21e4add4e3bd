"""A complete configuration with its tables at hand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from flows.configurations import Configuration
from flows.report.curves import curve_of
from flows.report.reader import Use, reading
from flows.results.rows import rows_of
from flows.workspace import Opened
from rdpt_core.report.bundle import Curve
from rdpt_core.store.record import Part
from rdpt_core.tables.rows import Result
from tasks.plan import Plan
from tasks.stage import Parts

R = TypeVar("R")


@dataclass(frozen=True)
class Told:
    """A complete configuration with its tables at hand."""

    opened: Opened
    configuration: Configuration
    plan: Plan

    def parts(self, table: str, side: str) -> tuple[Part, ...]:
        wanted = self.configuration.find(table, side)
        return self.plan.state(wanted).parts if wanted else ()

    def rows(self, row: type[R], side: str) -> Parts[R]:
        table: str = row.TABLE  # type: ignore[attr-defined]
        return Parts(self.plan.store, row, self.parts(table, side))

    @property
    def benchmarks(self) -> list[str]:
        """Sides, the first one first: bare metrics are its."""
        return self.configuration.benchmarks

    @cached_property
    def results(self) -> dict[str, dict[str, Result]]:
        """Side to metric to row."""
        sides = self.configuration.sides
        return {side: rows_of(self.configuration, side, self.plan) for side in sides}

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """Side to the curve of the report, where there is one: its bands take seconds."""
        with reading(self.opened) as reader:
            found = {s: curve_of(reader, Use(self.configuration, s, 0, 0)) for s in self.benchmarks}
        return {side: curve for side, curve in found.items() if curve is not None}

    @cached_property
    def all_parts(self) -> list[Part]:
        found = [p for use in self.configuration.uses for p in self.plan.state(use.table).parts]
        return list({(part.table, part.key): part for part in found}.values())

    @cached_property
    def times(self) -> list[int]:
        """Milliseconds at which the parts were committed."""
        records = [self.plan.store.record(part.table, part.key) for part in self.all_parts]
        return [record.mtime_ns // 1_000_000 for record in records if record]
