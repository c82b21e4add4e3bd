"""Traces of the training side and of benchmarks: sampled by a model, or imported."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from rdpt_core.grading.verdicts import GradeRule
from rdpt_core.models.spec import Sampling
from rdpt_core.sources.problems import ProblemSource
from rdpt_core.sources.traces import TraceSource
from rdpt_core.tables.recipe import Rule
from settings.models import Name


class Generate(Rule):
    """Traces that a model samples."""

    source: Literal["generate"] = "generate"
    samples: int = Field(default=4, ge=1, le=1024)
    """Traces for each problem."""
    sampling: Sampling = Sampling()


class Import(TraceSource):
    """Traces that come from elsewhere."""

    source: Literal["import"]


Traces = Annotated[Generate | Import, Field(discriminator="source")]


class Answers(Generate):
    """Traces that a model samples on a benchmark."""

    author: Literal["distilled", "teacher", "student"] = "distilled"
    """Who writes them. The other two are controls: a text is likely under the model that wrote
    it, so some of what a distilled student's answers seem to owe to training is owed to that
    (docs/scoring.md, T36)."""


class Benchmark(Rule):
    """Held-out problems, and how they are sampled and graded."""

    name: Name
    problems: ProblemSource | None = None
    traces: Annotated[Answers | Import, Field(discriminator="source")] = Answers(samples=1)
    grading: GradeRule = GradeRule()

    @property
    def own_answers(self) -> bool:
        """True if each distilled student writes its own answers."""
        return isinstance(self.traces, Answers) and self.traces.author == "distilled"

    @property
    def is_control(self) -> bool:
        """True if the teacher or the undistilled student writes the answers."""
        return isinstance(self.traces, Answers) and not self.own_answers

    @model_validator(mode="after")
    def _has_problems(self) -> Benchmark:
        if (self.problems is None) != isinstance(self.traces, Import):
            raise ValueError(
                "a benchmark needs either `problems`, or imported `traces`, which bring theirs"
            )
        return self
