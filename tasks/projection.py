"""What MLflow is told of one configuration, as plain values: nothing here knows MLflow or a store.

A projection holds no clock of its own. Times are those of the parts' commits, so that telling it
twice changes nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_. +=-]")
NOT_IN_A_KEY = re.compile(r"[^A-Za-z0-9_. -]")


@dataclass(frozen=True, slots=True)
class Point:
    """A number; a curve is several points of one key."""

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
    """Rows that went in, named and not loaded."""

    name: str
    digest: str
    context: str
    source: str
    """JSON that says where the rows are."""


@dataclass(frozen=True)
class Projection:
    """One MLflow run, whole."""

    name: str
    digest: str
    """Of the configuration: the run is found again by it."""
    begun: int
    ended: int
    """Milliseconds."""
    tags: Mapping[str, str]
    params: Mapping[str, str]
    points: tuple[Point, ...]
    losses: tuple[Point, ...]
    """Those that may have been told live, at other times."""
    artifacts: Mapping[str, bytes]
    """Relative path to content."""
    datasets: tuple[Dataset, ...]
    note: str
    """Markdown."""


def run_name(name: str) -> str:
    """MLflow refuses some characters (`../`, `<`, `;`, `(`) in the name of a run."""
    return NOT_IN_A_NAME.sub("-", name)[:200] or "-"


def metric_key(*steps: str) -> str:
    """`table/what/slice`. A step is one word, so a benchmark `a/b` adds no level."""
    return "/".join(NOT_IN_A_KEY.sub("-", step) for step in steps)


def tag_key(*steps: str) -> str:
    """`rdpt.parts.test-NAME.scores.teacher`; dots divide, so a name has none."""
    return ".".join(re.sub(r"[^A-Za-z0-9_-]", "-", step) for step in steps)
