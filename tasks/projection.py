"""The MLflow data of one configuration as plain values, independent of MLflow and of the store.

A projection does not read the clock. Its times are those of the parts' commits, so logging it twice
changes nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rdpt_core.tables.rows import TrainingStep

LOSS = "students/loss"
HELD_OUT_LOSS = "students/held_out_loss"
NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_. +=-]")
NOT_IN_A_KEY = re.compile(r"[^A-Za-z0-9_. -]")


@dataclass(frozen=True, slots=True)
class Point:
    """A number; a curve is several points with one key."""

    key: str
    value: float
    step: int
    timestamp: int
    """Milliseconds."""

    def __post_init__(self) -> None:
        # MLflow stores inf as 1.8e308 and accepts NaN; a missing number is not logged instead.
        if not math.isfinite(self.value):
            raise ValueError(f"metric {self.key} is {self.value} at step {self.step}")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Input rows, by name and not loaded."""

    name: str
    digest: str
    context: str
    source: str
    """JSON with the location of the rows."""


@dataclass(frozen=True)
class Projection:
    """One complete MLflow run."""

    name: str
    digest: str
    """Digest of the configuration, by which the run is looked up."""
    begun: int
    ended: int
    """Milliseconds."""
    tags: Mapping[str, str]
    params: Mapping[str, str]
    points: tuple[Point, ...]
    losses: tuple[Point, ...]
    """Points that may have been logged live, with other timestamps."""
    artifacts: Mapping[str, bytes]
    """Relative path to content."""
    datasets: tuple[Dataset, ...]
    note: str
    """Markdown."""


def loss_points(rows: Sequence[TrainingStep], when: int) -> list[Point]:
    """Loss of every step, and held-out loss of steps that have it. `when` in milliseconds."""
    points = [Point(LOSS, row.loss, row.step, when) for row in rows]
    return points + [
        Point(HELD_OUT_LOSS, row.held_out_loss, row.step, when)
        for row in rows
        if row.held_out_loss is not None
    ]


def run_name(name: str) -> str:
    """A name for MLflow, which rejects some characters (`../`, `<`, `;`, `(`) in the name of a
    run."""
    return NOT_IN_A_NAME.sub("-", name)[:200] or "-"


def metric_key(*steps: str) -> str:
    """`table/what/slice`. A step is one word, so a benchmark `a/b` adds no level."""
    return "/".join(NOT_IN_A_KEY.sub("-", step) for step in steps)


def tag_key(*steps: str) -> str:
    """`rdpt.parts.test-NAME.scores.teacher`; dots separate, so a name has none."""
    return ".".join(re.sub(r"[^A-Za-z0-9_-]", "-", step) for step in steps)
