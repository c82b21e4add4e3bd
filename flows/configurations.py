"""A configuration: one pairing of the matrix, or a baseline (a teacher or an undistilled student on
the benchmarks), with every table that it uses.

Planning, running, reporting and tracking all read the same description.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rdpt_core.tables import ids
from tasks.stage import Stage, StageTable, Table

_TELLING = ("accounts", "origins")
"""Tables that say more of a source whose problems and traces count already."""


@dataclass(frozen=True)
class TableUse:
    """A table that a configuration uses."""

    side: str
    """`train`, or the name of a benchmark with `test:` before it."""
    role: str | None
    """Whose table it is, where several models have one: teacher, student, distilled."""
    table: Table


@dataclass(frozen=True)
class Configuration:
    name: str
    kind: str
    """`arm`, `teacher` or `student` (baselines)."""
    teacher: str | None
    student: str | None
    selector: str | None
    """Label of its selector; draws of one selector have a label each."""
    seed: int | None
    uses: tuple[TableUse, ...]
    digest: str
    """Covers all that reaches its parts, names excluded."""
    arm: str | None = None
    """Name of the arm: its draws and fine-tuning seeds are the arm's runs."""
    draws: bool = False
    """True if its picks depend on a seed."""

    @property
    def draw(self) -> tuple[str, ...]:
        """Label of its draw; empty where nothing is drawn."""
        return (self.selector,) if self.draws and self.selector else ()

    def find(self, table: str, side: str, role: str | None = None) -> Table | None:
        """The table of a side and role; None where this configuration has none."""
        found = [
            u.table for u in self.uses if (u.table.name, u.side, u.role) == (table, side, role)
        ]
        return found[0] if found else None

    @property
    def sides(self) -> list[str]:
        return list(dict.fromkeys(use.side for use in self.uses))

    @property
    def benchmarks(self) -> list[str]:
        """Its sides that are benchmarks."""
        return [side for side in self.sides if side.startswith("test:")]


@dataclass
class Draft:
    """A configuration while its tables are collected."""

    uses: list[TableUse] = field(default_factory=list)
    summaries: dict[str, partial[StageTable]] = field(default_factory=dict)
    """Side to its results, without the configuration's digest, which covers all other tables."""

    def add(self, side: str, role: str | None, *tables: Table) -> None:
        self.uses += [TableUse(side, role, table) for table in tables]

    def sum_up(self, side: str, stage: Stage, **arguments: Any) -> None:
        """The results of a side."""
        self.summaries[side] = partial(stage, **arguments)

    def finished(
        self,
        name: str,
        kind: str,
        teacher: str | None,
        student: str | None,
        selector: str | None,
        seed: int | None,
    ) -> Configuration:
        made = {use.table.digest for use in self.uses if use.table.name not in _TELLING}
        digest = ids.digest("configuration", sorted(made))
        summed = [
            TableUse(side, None, summary(configuration=digest))
            for side, summary in self.summaries.items()
        ]
        uses = (*self.uses, *summed)
        return Configuration(name, kind, teacher, student, selector, seed, uses, digest)
