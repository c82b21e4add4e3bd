"""From an experiment to the tables that it wants: pure description, nothing is computed here.

A configuration is one pairing of the matrix, or a baseline (a teacher or an undistilled student
on the benchmarks). Planning, running, reporting and tracking all read the same description.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from rdpt_core.models.files import HashMemory
from rdpt_core.models.serving.endpoint import ModelServer
from rdpt_core.models.spec import ModelSpec, Scoring
from rdpt_core.selection.picks import Selector
from rdpt_core.sources.problems import ProblemSource
from rdpt_core.tables import ids
from settings.experiment import Experiment, Pairing
from settings.texts import Answers, Benchmark, Generate, Import
from tasks import attribution, results, sources, students, traces
from tasks.models import Distilled, Model
from tasks.stage import Stage, StageTable, Table


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


class Study:
    """The tables of one experiment. Configurations that describe a table alike share it."""

    def __init__(
        self,
        experiment: Experiment,
        base: Path,
        memory: HashMemory | None = None,
        servers: Mapping[str, ModelServer] | None = None,
    ) -> None:
        self.experiment, self.base = experiment, base
        self._memory, self._servers = memory, servers or {}

    def model(self, spec: ModelSpec) -> Model:
        """A model that is there before the experiment is."""
        return Model(spec, self.base, self._memory, servers=self._servers)

    def configurations(self) -> list[Configuration]:
        """Baselines first: they serve all arms."""
        return list(self._described)

    @cached_property
    def _described(self) -> list[Configuration]:
        """Once: files are hashed for it, and what a run is about does not change under it."""
        arms = [self._arm(cell) for cell in self.experiment.pairings()]
        return [*self._baselines(), *self._compared(arms)]

    def tables(self) -> list[Table]:
        """Every table once, each after those that it needs."""
        ordered: dict[str, Table] = {}

        def visit(table: Table) -> None:
            if table.digest in ordered:
                return
            for needed in table.needs() if isinstance(table, StageTable) else []:
                visit(needed)
            ordered[table.digest] = table

        for configuration in self.configurations():
            for use in configuration.uses:
                visit(use.table)
        return list(ordered.values())

    # ------------------------------------------------------------------ names

    def _name(self, cell: Pairing) -> str:
        """What tells a configuration apart comes first; what all share is left out."""
        e = self.experiment
        parts = [cell.selector.label if cell.selector else f"{cell.student.name}-distilled"]
        if cell.seed is not None and len(e.matrix.seeds) > 1:
            parts.append(f"seed{cell.seed}")
        if cell.selector and len(e.students) > 1:
            parts.append(cell.student.name)
        if len(e.teachers) > 1:
            parts.append(cell.teacher.name)
        return "-".join(parts)

    # ------------------------------------------------------------------ arms compared

    def _compared(self, arms: list[Configuration]) -> Iterator[Configuration]:
        """The configurations, the first of each arm with the arm's mean and its differences from
        the arms after it.

        Only arms of one teacher and one student are compared; the fine-tuning seeds and the draws
        of a selector are its runs.
        """
        runs: dict[tuple[str | None, ...], list[Configuration]] = {}
        for one in arms:
            runs.setdefault((one.teacher, one.student, one.arm), []).append(one)
        keys = list(runs)
        for one in arms:
            key = (one.teacher, one.student, one.arm)
            others = [k for k in keys[keys.index(key) + 1 :] if k[:2] == key[:2]]
            if one is runs[key][0]:
                extra = [*self._means(runs[key])] + [
                    use for other in others for use in self._differences(runs[key], runs[other])
                ]
                one = replace(one, uses=(*one.uses, *extra))
            yield one

    def _means(self, runs: list[Configuration]) -> Iterator[TableUse]:
        """Accuracy of an arm of several runs on each benchmark that the runs answer."""
        for benchmark in self.experiment.benchmarks if len(runs) > 1 else ():
            side = f"test:{benchmark.name}"
            if _tables(runs, "traces", side) and benchmark.own_answers:
                table = results.arm(
                    arm_traces=_tables(runs, "traces", side),
                    arm_grades=_tables(runs, "grades", side),
                    arm_labels=_tables(runs, "provenance", side),
                    configuration=runs[0].digest,
                    benchmark=benchmark.name,
                    arm_draws=_draws(runs),
                )
                yield TableUse(side, "arm", table)

    def _differences(
        self, arm: list[Configuration], other: list[Configuration]
    ) -> Iterator[TableUse]:
        """Differences of answers and sentences on each benchmark, and of tokens trained on."""
        against = other[0].arm
        assert against is not None
        names = {"configuration": arm[0].digest, "against": against}
        for benchmark in self.experiment.benchmarks:
            side = f"test:{benchmark.name}"
            if _tables([*arm, *other], "traces", side):
                table = results.compared(
                    arm_traces=_tables(arm, "traces", side),
                    arm_grades=_tables(arm, "grades", side),
                    arm_labels=_tables(arm, "provenance", side),
                    other_traces=_tables(other, "traces", side),
                    other_grades=_tables(other, "grades", side),
                    other_labels=_tables(other, "provenance", side),
                    **names,
                    benchmark=benchmark.name,
                    own_answers=benchmark.own_answers,
                    arm_draws=_draws(arm),
                    other_draws=_draws(other),
                )
                yield TableUse(side, f"against {against}", table)
        picks = [one[0].find("selection", "train") for one in (arm, other)]
        table = results.compared_tokens(
            traces=arm[0].find("traces", "train"),
            arm=picks[0],
            other=picks[1],
            source="problems",
            draws=(*arm[0].draw, *other[0].draw),
            **names,
        )
        yield TableUse("train", f"against {against}", table)

    # ------------------------------------------------------------------ baselines

    def _baselines(self) -> Iterator[Configuration]:
        """The teacher and the undistilled student on the benchmarks."""
        cells = self.experiment.pairings()
        teachers = dict.fromkeys(cell.teacher for cell in cells)
        bases = dict.fromkeys(cell.student for cell in cells)
        for teacher in teachers:
            if teacher.backend == "logged":
                continue
            draft = self._accuracy(self.model(teacher.spec))
            if draft.uses:
                yield draft.finished(teacher.name, "teacher", teacher.name, None, None, None)
        for base in bases:
            draft = self._accuracy(self.model(base.spec))
            if draft.uses:
                yield draft.finished(base.name, "student", None, base.name, None, None)

    def _accuracy(self, model: Model) -> Draft:
        draft = Draft()
        for benchmark in self.experiment.benchmarks:
            if not benchmark.own_answers:
                continue
            side = f"test:{benchmark.name}"
            problems, written, grades = self._answers(benchmark, model)
            draft.add(side, None, problems, written, grades)
            draft.sum_up(
                side,
                results.baseline,
                problems=problems,
                traces=written,
                grades=grades,
                benchmark=benchmark.name,
            )
        return draft

    def _answers(
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

    def _sampled(self, problems: Table, model: Model | Distilled, how: Generate) -> StageTable:
        return traces.sample(
            problems=problems,
            model=model,
            sampling=how.sampling,
            seed=self.experiment.seed,
            sample_index=tuple(range(how.samples)),
        )

    # ------------------------------------------------------------------ arms

    def _arm(self, cell: Pairing) -> Configuration:
        draft = Draft()
        teacher = self.model(cell.teacher.spec)
        student = self.model(cell.student.spec)
        distilled: Model | Distilled | None
        if cell.selector is not None:
            distilled = self._train_side(cell, teacher, student, draft)
        else:
            distilled = self.model(cell.student.distilled_spec)
        if distilled is not None:
            models = {"teacher": teacher, "student": student, "distilled": distilled}
            for benchmark in self.experiment.benchmarks:
                self._test_side(benchmark, models, cell.selector, draft)
        found = draft.finished(
            self._name(cell),
            "arm",
            cell.teacher.name,
            cell.student.name,
            cell.selector.label if cell.selector else None,
            cell.seed,
        )
        if cell.selector is None:
            return found
        return replace(found, arm=cell.selector.arm, draws=cell.selector.draws)

    def _train_side(
        self, cell: Pairing, teacher: Model, student: Model, draft: Draft
    ) -> Distilled | None:
        e = self.experiment
        assert cell.selector is not None
        scored, grades = self._candidates(teacher)
        t_tokens, t_joined = scored.scores(teacher)
        s_tokens, s_joined = scored.scores(student)
        labels = attribution.three_way(
            teacher=t_joined,
            student=s_joined,
            teacher_scores=t_tokens,
            student_scores=s_tokens,
            rule=e.labels,
        )
        pool = attribution.pool(
            traces=scored.traces, grades=grades, teacher=t_tokens, student=s_tokens, rule=e.pool
        )
        chooses = {
            "traces": scored.traces,
            "pool": pool,
            "teacher": t_joined,
            "student": s_joined,
            "student_scores": s_tokens,
            "rule": e.labels,
            "selector": cell.selector,
            "reference": self._reference(cell.selector),
            "seed": e.seed,
        }
        picks = attribution.select(**chooses)
        draft.add(
            "train",
            None,
            scored.problems,
            scored.traces,
            grades,
            scored.sentences,
            labels,
            pool,
            picks,
        )
        self._add_aside("train", e.traces, e.problems, draft)
        draft.add("train", "teacher", t_tokens, t_joined)
        draft.add("train", "student", s_tokens, s_joined)
        chosen = {**chooses, "selection": picks, "source": "problems"}
        if cell.student.source == "select":
            draft.sum_up("train", results.selected, **chosen)
            return None
        steps = self._training(cell, student, scored, picks)
        draft.add("train", None, steps)
        draft.sum_up("train", results.training, **chosen, steps=steps)
        return Distilled(steps, cell.student.spec)

    def _training(
        self, cell: Pairing, student: Model, scored: Scored, picks: StageTable
    ) -> StageTable:
        """The student that learns the picks."""
        return students.train(
            selection=picks,
            problems=scored.problems,
            traces=scored.traces,
            model=student,
            recipe=self.experiment.training,
            seed=cell.seed,
        )

    def _candidates(self, teacher: Model) -> tuple[Scored, StageTable]:
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
        sentences = traces.segment(traces=written, rule=e.segmentation)
        return Scored(problems, written, sentences, e.scoring), grades

    def _reference(self, selector: Selector) -> Selector | None:
        """The arm whose tokens a matched one equals."""
        named = {s.label: s for s in self.experiment.selectors}
        return named[selector.match_tokens] if selector.match_tokens else None

    def _add_aside(
        self,
        side: str,
        traces: Generate | Import | None,
        problems: ProblemSource | None,
        draft: Draft,
    ) -> None:
        """Rows of a source that could not be used, and its account, go with those that could."""
        source = traces if isinstance(traces, Import) else problems
        assert source is not None
        draft.add(side, None, *sources.aside(source, self.experiment.part_size, self.base))

    # ------------------------------------------------------------------ test side

    def _test_side(
        self,
        benchmark: Benchmark,
        models: Mapping[str, Model | Distilled],
        selector: Selector | None,
        draft: Draft,
    ) -> None:
        """What `models`, by role, make of the answers that one of them wrote, or somebody else."""
        e, side, how = self.experiment, f"test:{benchmark.name}", benchmark.traces
        author = how.author if isinstance(how, Answers) else "distilled"
        problems, written, grades = self._answers(benchmark, models[author])
        answered: dict[str, Any] = {
            "problems": problems,
            "traces": written,
            "grades": grades,
            "benchmark": benchmark.name,
        }
        if models["teacher"].spec.backend == "logged":  # it cannot read what another model wrote
            draft.add(side, None, problems, written, grades)
            draft.sum_up(side, results.baseline, **answered)
            return
        sentences = traces.segment(traces=written, rule=e.segmentation)
        scored = Scored(problems, written, sentences, e.scoring)
        of = {role: scored.scores(model) for role, model in models.items()}
        labels = attribution.four_way(
            **{role: joined for role, (_, joined) in of.items()},
            **{f"{role}_scores": tokens for role, (tokens, _) in of.items()},
            rule=e.labels,
        )
        draft.add(side, None, problems, written, grades, scored.sentences, labels)
        self._add_aside(side, how, benchmark.problems, draft)
        for role, tables in of.items():
            draft.add(side, role, *tables)
        answered |= {"labels": labels, "rule": e.labels}
        if not benchmark.own_answers:
            draft.sum_up(side, results.attributed, **answered)
            return
        _, base_traces, base_grades = self._answers(benchmark, models["student"])
        draft.sum_up(
            side,
            results.distilled,
            **answered,
            base_traces=base_traces,
            base_grades=base_grades,
            draws=(selector.label,) if selector is not None and selector.draws else (),
        )


_TELLING = ("accounts", "origins")
"""Tables that say more of a source whose problems and traces count already."""


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


def _tables(runs: Sequence[Configuration], table: str, side: str) -> tuple[Table, ...]:
    """A table of each run; none where the runs have no such table."""
    return tuple(found for run in runs if (found := run.find(table, side)) is not None)


def _draws(runs: list[Configuration]) -> tuple[str, ...]:
    return tuple(label for run in runs for label in run.draw)
