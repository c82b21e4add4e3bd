"""A configuration made of small stages by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from flows.configurations import Configuration, TableUse
from flows.workspace import Opened
from rdpt_core.tables.recipe import Rule
from rdpt_core.tables.rows import (
    Direction,
    Grade,
    Label,
    Pick,
    Provenance,
    Result,
    Sentence,
    TrainingStep,
)
from tasks.projection import Parent
from tasks.stage import Parts, Work, stage
from tasks.tracking.client import Mlflow
from tests.stages import toy_stages

Capture = pytest.CaptureFixture[str]
ANSWERS = 12
DIGEST = "d" * 32
STUDY = Parent("comparison", "5" * 32)


# ---------------------------------------------------------------------------- a configuration


@stage("provenance", version=1, row=Provenance, over="sentences")
def classify(sentences: list[Sentence]) -> Iterator[Provenance]:
    for s in sentences:
        label = list(Label)[int(s.trace_id[0], 16) % 2]
        yield Provenance(s.trace_id, s.position, label, Direction.UP, 0.1, 0.5, 0.4, 0.6, None)


@stage("students", version=1, row=TrainingStep)
def learn(selection: Parts[Pick], work: Work) -> Iterator[TrainingStep]:
    out = work.payload
    out.mkdir()
    (out / "preview.txt").write_text("[masked] How much? [learned] it is 1\n")
    (out / "checkpoint").mkdir()
    (out / "checkpoint" / "model.safetensors").write_bytes(b"weights")
    for step in range(1, 6):
        yield TrainingStep("student", step, 1 / step, 1e-3, None, 10 * step, 20, 10, None)


@stage("results", version=1, row=Result)
def sum_up(grades: Parts[Grade], side: str, benchmark: str) -> Iterator[Result]:
    bare = {
        "test": {
            "accuracy": 0.123456,
            "teacher_share": 0.25,
            "provenance/share/teacher": 0.25,
            "grades/lift": 0.04,
            "grades/gained": 3.0,
            "grades/lost": 1.0,
        },
        "train": {"tokens": 321.0},
    }
    for metric, value in bare[side].items():
        yield Result(DIGEST, side, benchmark, metric, value, 0.1, 0.2, 8, None)
    for number in range(2 if benchmark == "bench" else 9):
        metric = f"grades/accuracy/part {number}/of nine"
        yield Result(DIGEST, side, benchmark, metric, 0.5, 0.1, 0.9, 4, None)
    yield Result(DIGEST, side, benchmark, "grades/nothing", None, None, None, 0, None)
    for number in range(70):
        yield Result(DIGEST, side, benchmark, f"grades/many/{number}", 1.0, None, None, 8, None)


class ToyBenchmark(Rule):
    name: str
    limit: int | None = None

    @property
    def own_answers(self) -> bool:
        return True


class Question(Rule):
    """What an experiment is asked for its settings."""

    name: str = "toy"
    seed: int = 0
    labels: dict[str, float]
    benchmarks: list[ToyBenchmark]
    long: str = "x" * 40_000


def configuration(benchmarks: tuple[str, ...] = ("bench", "more")) -> Configuration:
    problems, traces, grades, sentences, picks = toy_stages.chain_of(
        toy_stages.given(range(ANSWERS))
    )
    labels, student = classify(sentences=sentences), learn(selection=picks)
    trained = [
        problems,
        traces,
        grades,
        picks,
        student,
        sum_up(grades=grades, side="train", benchmark="toy"),
    ]
    uses = [TableUse("train", None, table) for table in trained]
    for name in benchmarks:
        tested = [
            problems,
            traces,
            grades,
            sentences,
            labels,
            sum_up(grades=grades, side="test", benchmark=name),
        ]
        uses += [TableUse(f"test:{name}", None, table) for table in tested]
    return Configuration("random", "arm", "big", "small", "random", 0, tuple(uses), DIGEST)


def teacher() -> Configuration:
    """A baseline that answered as the student did."""
    tables = ("problems", "traces", "grades")
    uses = [u for u in configuration().uses if u.side != "train" and u.table.name in tables]
    return Configuration("big", "teacher", "big", None, None, None, tuple(uses), "7" * 32)


def with_study(opened: Opened, configurations: list[Configuration]) -> Opened:
    """The experiment, as if it described these."""
    found = replace(opened)
    found.__dict__["study"] = SimpleNamespace(configurations=lambda: configurations)
    return found


def runs_of(mlflow: Mlflow) -> list[Any]:
    return list(mlflow._client.search_runs([mlflow._experiment.experiment_id]))


def run_of(mlflow: Mlflow, digest: str = DIGEST) -> Any:
    """The run of a configuration."""
    (run,) = [run for run in runs_of(mlflow) if run.data.tags["rdpt.configuration"] == digest]
    return run
