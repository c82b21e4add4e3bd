"""The MLflow data of one run as plain values, independent of MLflow and of the store.

A projection does not read the clock. Its times are those of the parts' commits, so logging it twice
changes nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from rdpt_core.tables.rows import TrainingStep

LOSS = "training/loss"
HELD_OUT_LOSS = "training/held_out_loss"
"""MLflow sorts sections of metrics by name: these come after what the training is about."""
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
    table: str


@dataclass(frozen=True)
class TrainedModel:
    """A trained student, by name: its weights stay in the store."""

    name: str
    digest: str
    params: Mapping[str, str]
    """What it was made of."""
    files: Mapping[str, bytes]
    """Where it is and what it learnt; never its weights."""
    points: tuple[tuple[Point, Dataset], ...]
    """What is known of it on a dataset: MLflow lists the datasets of a model by its metrics."""


class State(StrEnum):
    """The state of a run, in MLflow's words."""

    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"
    """Neither finished nor running: stopped, killed, or not begun."""


@dataclass(frozen=True)
class Parent:
    """The run that another one belongs to."""

    name: str
    digest: str


@dataclass(frozen=True)
class Projection:
    """One MLflow run."""

    name: str
    digest: str
    """Digest of the configuration, by which the run is looked up."""
    begun: int
    ended: int
    """Milliseconds."""
    tags: Mapping[str, str]
    params: Mapping[str, str]
    note: str
    """Markdown of the run's page: a template, as `description` is."""
    points: tuple[Point, ...] = ()
    losses: tuple[Point, ...] = ()
    """Points that may have been logged live, with other timestamps."""
    artifacts: Mapping[str, bytes] = field(default_factory=dict)
    """Relative path to content."""
    datasets: tuple[Dataset, ...] = ()
    state: State = State.FINISHED
    parent: Parent | None = None
    model: TrainedModel | None = None
    description: str = ""
    """Markdown of the experiment's page, a template: `$experiment` and `$run_DIGEST` are the ids
    that MLflow gave to the experiment and to the run of a digest."""


def loss_points(rows: Sequence[TrainingStep], when: int) -> list[Point]:
    """Loss of every step, and held-out loss of steps that have it. `when` in milliseconds."""
    points = [Point(LOSS, rounded(row.loss), row.step, when) for row in rows]
    return points + [
        Point(HELD_OUT_LOSS, rounded(row.held_out_loss), row.step, when)
        for row in rows
        if row.held_out_loss is not None
    ]


def rounded(value: float) -> float:
    """Four digits, since MLflow's pages print all that a number has."""
    return float(f"{value:.4g}")


def run_name(name: str) -> str:
    """A name for MLflow, which rejects some characters (`../`, `<`, `;`, `(`) in the name of a
    run."""
    return NOT_IN_A_NAME.sub("-", name)[:200] or "-"


def metric_key(*steps: str) -> str:
    """`benchmark/class/what`. A benchmark `a:b` loses what MLflow takes in no key."""
    return "/".join(NOT_IN_A_KEY.sub("-", step) for step in steps)
