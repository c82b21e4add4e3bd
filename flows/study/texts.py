"""Problems and traces of an experiment as tables: sampled by a model, or imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rdpt_core.models.spec import Scoring
from rdpt_core.sources.problems import ProblemSource
from settings.experiment import Experiment
from settings.texts import Answers, Benchmark, Generate, Import
from tasks import attribution, sources, traces
from tasks.models import Distilled, Model
from tasks.stage import StageTable, Table


@dataclass(frozen=True)
class Scored:
    """Traces with their sentences, and a way to score them under any model."""

    problems: Table
    traces: Table
    sentences: StageTable
    how: Scoring

    def scores(self, model: Model | Distilled) -> tuple[StageTable, StageTable]:
        """Token scores and sentence scores under one model."""
        tokens = attribution.score(
            problems=self.problems,
            traces=self.traces,
            model=model.on(self.how.numerics),
            topk_stats=self.how.topk_stats,
        )
        joined = attribution.sentence_scores(
            traces=self.traces, sentences=self.sentences, scores=tokens
        )
        return tokens, joined


@dataclass(frozen=True)
class TextTables:
    """What the sources of an experiment become."""

    experiment: Experiment
    base: Path
    """Where relative paths of its file start."""

    def candidates(self, teacher: Model) -> tuple[Scored, StageTable]:
        """The training side's traces with their grades, sampled from the teacher or imported."""
        e = self.experiment
        assert e.traces is not None
        if isinstance(e.traces, Generate):
            assert e.problems is not None
            problems: Table = sources.problems(e.problems, e.part_size, self.base)
            written: Table = self._sampled(problems, teacher, e.traces)
        else:
            problems, written = sources.imported(e.traces, e.part_size, self.base)
        grades = traces.grade(problems=problems, traces=written, rule=e.grading)
        return self.scored(problems, written), grades

    def answers(
        self, benchmark: Benchmark, model: Model | Distilled
    ) -> tuple[Table, Table, StageTable]:
        """Problems, traces and grades of a benchmark, by one model or as imported."""
        e = self.experiment
        if isinstance(benchmark.traces, Answers):
            assert benchmark.problems is not None
            problems: Table = sources.problems(benchmark.problems, e.part_size, self.base)
            written: Table = self._sampled(problems, model, benchmark.traces)
        else:
            problems, written = sources.imported(benchmark.traces, e.part_size, self.base)
        grades = traces.grade(problems=problems, traces=written, rule=benchmark.grading)
        return problems, written, grades

    def scored(self, problems: Table, written: Table) -> Scored:
        """The traces with their sentences."""
        e = self.experiment
        sentences = traces.segment(traces=written, rule=e.segmentation)
        return Scored(problems, written, sentences, e.scoring)

    def aside(
        self, traces: Generate | Import | None, problems: ProblemSource | None
    ) -> list[Table]:
        """Rows of a source that could not be used, and its account; they go with those that
        could."""
        source = traces if isinstance(traces, Import) else problems
        assert source is not None
        return list(sources.aside(source, self.experiment.part_size, self.base))

    def _sampled(self, problems: Table, model: Model | Distilled, how: Generate) -> StageTable:
        return traces.sample(
            problems=problems,
            model=model,
            sampling=how.sampling,
            seed=self.experiment.seed,
            sample_index=tuple(range(how.samples)),
        )
