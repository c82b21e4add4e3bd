"""Small studies on tiny random models, run without Prefect, that record the built parts."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.workspace import Opened, open_file
from rdpt_core.finetune import training
from rdpt_core.finetune.recipe import Machine, TrainingRecipe
from rdpt_core.tables.rows import TrainingStep
from settings.runtime import Runtime
from tasks.plan import Plan
from tasks.worker import Worker
from tests.core.models import tiny
from tests.stages.toy_stages import Journal

STUDY = """
name = "study"
part_size = 32
[problems]
source = "file"
path = "problems.jsonl"
limit = {limit}
[traces]
source = "generate"
samples = {samples}
sampling = {{ max_new_tokens = 6, batch_size = 32 }}
[[teachers]]
name = "teacher"
path = "teacher"
thinking = "none"
{students}
[[selectors]]
name = "teacher_count"
[segmentation]
name = "{segmenter}"
[labels]
beta = {beta}
[pool]
eligible = "all"
{benchmarks}
"""
STUDENT = """
[[students]]
name = "{name}"
path = "{name}"
thinking = "none"
"""
BENCHMARK = """
[[benchmarks]]
name = "{name}"
problems = {{ source = "file", path = "{name}.jsonl" }}
traces = {{ source = "generate", samples = 1, sampling = {{ max_new_tokens = 6 }} }}
"""
PLAIN: dict[str, Any] = {
    "limit": 64,
    "samples": 2,
    "beta": 0.1,
    "segmenter": "maths",
    "students": STUDENT.format(name="student"),
    "benchmarks": BENCHMARK.format(name="bench"),
}


def head(name: str, *keys: str, part_size: int = 32, student: str = "") -> str:
    """The beginning of a study on a tiny teacher and student, each a folder of that name: `keys`
    of the study, and keys of the student. Its tables follow."""
    models = [
        f'[[{table}]]\nname = "{model}"\npath = "{model}"\nthinking = "none"'
        for table, model in (("teachers", "teacher"), ("students", "student"))
    ]
    return "\n".join([f'name = "{name}"', f"part_size = {part_size}", *keys, *models, student, ""])


@dataclass
class Studio:
    """A folder with models, problems and a workspace."""

    folder: Path
    text: str | None = None
    """Text of its study; the default is STUDY with PLAIN and what a test changes."""

    def open(self, **changes: Any) -> Opened:
        file = self.folder / "study.toml"
        file.write_text(self.text or STUDY.format(**(PLAIN | changes)))
        return open_file(file, Runtime(workspace=self.folder / "workspace", threads=1))

    def build(self, **changes: Any) -> Counter[str]:
        """Builds a study; returns the number of built parts by table."""
        opened, journal = self.open(**changes), Journal()
        for table in opened.study.tables():
            if not Plan(opened.store).state(table).complete:
                Worker(Plan(opened.store), opened.runtime, journal).build(table)
        assert all(Plan(opened.store).state(table).complete for table in opened.study.tables())
        return Counter(journal.parts)

    def write_changed(self, **changes: Any) -> str:
        """A study like STUDY in a file next to it; its name."""
        (self.folder / "changed.toml").write_text(STUDY.format(**(PLAIN | changes)))
        return "changed.toml"

    def write_problems(self, name: str, numbers: range) -> None:
        lines = [
            f'{{"problem": "How much is {n} and 1?", "answer": "{n + 1}", '
            f'"domain": "{"odd" if n % 2 else "even"}"}}'
            for n in numbers
        ]
        (self.folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


def copying_train(
    base: Path,
    examples: Sequence[training.TrainingExample],
    recipe: TrainingRecipe,
    seed: int,
    student: str,
    workdir: Path,
    out: Path,
    machine: Machine,
    on_step: Callable[[TrainingStep], None],
    **how: Any,
) -> list[TrainingStep]:
    """Replaces a fine-tuning if only identity matters: the base model, with a mark."""
    workdir.mkdir(parents=True, exist_ok=True)
    shutil.copytree(base, out / "checkpoint", dirs_exist_ok=True)
    config = out / "checkpoint" / "generation_config.json"
    picked = sorted(example.trace_id for example in examples)
    config.write_text(config.read_text().rstrip().rstrip("}") + f', "mark": "{picked}{seed}"}}')
    num_tokens = sum(len(e.input_ids) for e in examples)
    return [TrainingStep(student, 1, 1.0, 0.1, None, num_tokens, num_tokens, num_tokens, None)]


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    monkeypatch.setattr(training, "train", copying_train)
    made = Studio(tmp_path)
    for seed, name in enumerate(("teacher", "student", "other")):
        tiny.make_qwen(tmp_path / name, seed=seed)
    made.write_problems("problems", range(64))
    made.write_problems("bench", range(100, 120))
    return made
