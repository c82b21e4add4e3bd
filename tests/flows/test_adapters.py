"""A student that is kept as a LoRA adapter goes through the whole experiment as any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rdpt_core.tables.rows import SentenceScore, TrainingStep
from settings.models import Student
from tasks.plan import Plan
from tasks.stage import Parts
from tests.core.models import tiny
from tests.flows.example_experiments import BENCHMARK, Studio

TRAINING = """
[training]
epochs = 1
global_batch = 4
learning_rate = 0.1
warmup_ratio = 0
packing = true
held_out = 0.25
lora = { rank = 2, alpha = 4, keep = "adapter" }
"""
CHANGES: dict[str, Any] = {
    "limit": 8,
    "samples": 1,
    "benchmarks": BENCHMARK.format(name="bench") + TRAINING,
}


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    made = Studio(tmp_path)
    for seed, name in enumerate(("teacher", "student")):
        tiny.make_qwen(tmp_path / name, seed=seed)
    made.write_problems("problems", range(8))
    made.write_problems("bench", range(100, 106))
    return made


def test_an_adapter_samples_and_is_scored_as_the_distilled_model(studio: Studio) -> None:
    built = studio.build(**CHANGES)
    assert (built["students"], built["traces"]) == (1, 4), "candidates, and three models' answers"
    opened = studio.open(**CHANGES)
    (checkpoint,) = opened.store.root.glob("students/*/checkpoint")
    assert not list(checkpoint.glob("model*.safetensors"))
    plan = Plan(opened.store)
    arm = next(c for c in opened.study.configurations() if c.kind == "arm")
    rows = {
        use.role: _logprobs(plan, use.table)
        for use in arm.uses
        if use.table.name == "sentence_scores" and use.side == "test:bench"
    }
    assert rows.keys() == {"teacher", "student", "distilled"}
    assert len(rows["distilled"]) == len(rows["student"]) > 0
    assert rows["distilled"] != rows["student"], "the adapter is in effect"
    (record,) = opened.store.records("students")
    assert record.made["carried_out"]["packing"] is True
    steps = opened.store.rows(TrainingStep, record.part)
    assert [step.held_out_loss is None for step in steps] == [True, False], "6 traces by 4"
    otherwise = CHANGES["benchmarks"].replace("packing = true", "packing = false")
    assert not studio.build(**(CHANGES | {"benchmarks": otherwise})), "how, not what"


def _logprobs(plan: Plan, table: Any) -> list[float | None]:
    parts = plan.state(table).parts
    return [row.logprob for rows in Parts(plan.store, SentenceScore, parts) for row in rows]


def test_an_imported_adapter_names_its_base_and_trains_no_further() -> None:
    entry = {"name": "s", "path": "base", "source": "import", "distilled_adapter": "adapter"}
    spec = Student(**entry).distilled_spec
    assert (spec.path, spec.adapter) == ("base", "adapter")
    with pytest.raises(ValidationError, match="distilled_adapter"):
        Student(**(entry | {"distilled": "model"}))
    with pytest.raises(ValidationError, match="cannot be trained further"):
        Student(name="s", path="base", adapter="adapter")
    assert json.loads(Student(**entry).model_dump_json())["distilled_adapter"] == "adapter"
