"""Rows of every deterministic stage on planted traces, by digest and by stage version.

A digest that moves here means that rows changed for the same inputs: bump the stage's version, say
why in the changelog, and write the new digest down under the new version.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from rdpt_core.grading.verdicts import GradeRule
from rdpt_core.machine.progress import silent
from rdpt_core.provenance.labels import LabelRule
from rdpt_core.selection.picks import PoolRule, Selector
from rdpt_core.tables import columns, ids
from rdpt_core.tables.rows import Problem
from rdpt_core.text.segmentation import SegmentRule
from tasks import attribution, results, traces
from tasks.stage import Stage, Work
from tests.core.models.planted import FakeGenerator, planted_scorers

GOLDEN = {
    "grades 3": "ea7b15ad2b0dfbb8e419a6d2c32ee57d",
    "sentences 3": "d525cb04b16da6e497b035176159554e",
    "sentence_scores 1": "2fb4f8b2a3f068ed7cfef76a9285014e",
    "three_way 1": "a95a85bc6333c117e6be602f476ae132",
    "four_way 1": "23077b8ec10bf840cc4643a3b41073e5",
    "pool 1": "f8a471134e54b124c43d4c587f326e54",
    "selection 1": "3cee9d529179ed71bb25625a86889f88",
    "results 3": "77d066ee6c21045dd7efee8eaca88426",
}


class Planted:
    """Every table of a planted study, made by the stage functions themselves."""

    def __init__(self, work: Work) -> None:
        prompts = [f"How many apples are {number} and one more?" for number in range(6)]
        self.problems = [
            Problem(ids.problem_id("golden", p), "golden", "train", "", p, str(n + 1))
            for n, p in enumerate(prompts)
        ]
        generator = FakeGenerator()
        self.traces = [t for k in range(3) for t in generator.generate(self.problems, k)]
        scores = {
            role: list(s.score(self.problems, self.traces)) for role, s in planted_scorers().items()
        }
        self.digests: dict[str, str] = {}
        rule = LabelRule()
        grades = self._made(traces.grade, self.problems, self.traces, GradeRule(), work)
        sentences = self._made(traces.segment, self.traces, SegmentRule())
        joined = {
            role: self._made(attribution.sentence_scores, self.traces, sentences, rows)
            for role, rows in scores.items()
        }
        t, s, d = joined["teacher"], joined["student"], joined["distilled"]
        self._made(attribution.three_way, t, s, [], [], rule, name="three_way")
        labels = self._made(attribution.four_way, t, s, d, [], [], [], rule, name="four_way")
        pool = self._made(
            attribution.pool, self.traces, grades, scores["teacher"], scores["student"], PoolRule()
        )
        self._made(
            attribution.select,
            [self.traces],
            [pool],
            [t],
            [s],
            [scores["student"]],
            rule,
            Selector(name="teacher_count"),
            None,
            0,
        )
        self._made(
            results.distilled,
            [self.problems],
            [self.traces],
            [grades],
            [labels],
            [self.traces],
            [grades],
            rule,
            (),
            "configuration",
            "golden",
        )

    def _made(self, stage: Stage, *arguments: Any, name: str | None = None) -> list[Any]:
        function: Callable[..., Iterable[Any]] = stage.function
        rows = columns.in_key_order(stage.row, function(*arguments))
        digest = columns.content_digest(stage.row, [_rounded(row) for row in rows])
        self.digests[f"{name or stage.name} {stage.version}"] = digest
        return rows


def _rounded(row: Any) -> Any:
    """Six digits: another processor's exponential may differ in the last bits."""
    values = {f.name: getattr(row, f.name) for f in dataclasses.fields(row)}
    return type(row)(**{n: round(v, 6) if isinstance(v, float) else v for n, v in values.items()})


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    class Options:
        graders = 1

    folder = tmp_path_factory.mktemp("work")
    return Planted(Work(folder, 1, "cpu", Options(), silent))


@pytest.mark.fault("F40")
@pytest.mark.parametrize("stage", GOLDEN)
def test_rows_are_those_of_this_version(planted: Planted, stage: str) -> None:
    assert planted.digests.get(stage) == GOLDEN[stage], f"rows of stage {stage} changed"


@pytest.mark.fault("F40")
def test_every_deterministic_stage_is_held(planted: Planted) -> None:
    assert planted.digests.keys() == GOLDEN.keys()
