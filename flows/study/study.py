"""A study: the configurations of an experiment, and all tables that they use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from flows.configurations import Configuration, Draft
from flows.study.arms import compared
from flows.study.benchmarks import accuracy, test_side
from flows.study.texts import TextTables
from flows.study.training import train_side
from rdpt_core.models.files import HashMemory
from rdpt_core.models.serving.endpoint import ModelServer
from rdpt_core.models.spec import ModelSpec
from settings.experiment import Experiment, Pairing
from tasks.models import Distilled, Model
from tasks.stage import StageTable, Table


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
        self._texts = TextTables(experiment, base)

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
        return [*self._baselines(), *compared(arms, self.experiment.benchmarks)]

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

    def _baselines(self) -> Iterator[Configuration]:
        """The teacher and the undistilled student on the benchmarks."""
        cells = self.experiment.pairings()
        teachers = dict.fromkeys(cell.teacher for cell in cells)
        bases = dict.fromkeys(cell.student for cell in cells)
        for teacher in teachers:
            if teacher.backend == "logged":
                continue
            draft = accuracy(self._texts, self.model(teacher.spec))
            if draft.uses:
                yield draft.finished(teacher.name, "teacher", teacher.name, None, None, None)
        for base in bases:
            draft = accuracy(self._texts, self.model(base.spec))
            if draft.uses:
                yield draft.finished(base.name, "student", None, base.name, None, None)

    def _arm(self, cell: Pairing) -> Configuration:
        draft = Draft()
        teacher = self.model(cell.teacher.spec)
        student = self.model(cell.student.spec)
        distilled: Model | Distilled | None
        if cell.selector is not None:
            distilled = train_side(self._texts, cell, teacher, student, draft)
        else:
            distilled = self.model(cell.student.distilled_spec)
        if distilled is not None:
            models = {"teacher": teacher, "student": student, "distilled": distilled}
            for benchmark in self.experiment.benchmarks:
                test_side(self._texts, benchmark, models, cell.selector, draft)
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
