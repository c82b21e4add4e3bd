"""A distilled model that somebody publishes as another kind of build than its base: it is only
read, so any build will do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.checks import models_in
from rdpt_core.models.refusals import check_packing
from rdpt_core.tables.rows import ScoreStatus, TokenScores
from tasks.plan import Plan
from tasks.stage import Parts
from tests.core.models import tiny
from tests.core.models.loading.gguf_files import write_gguf
from tests.flows.example_experiments import Studio, head

IMPORTED = 'source = "import"\ndistilled = { path = "distilled", gguf = "m.gguf" }'
STUDY = (
    head("imported", student=IMPORTED)
    + """
[[benchmarks]]
name = "bench"
problems = { source = "file", path = "bench.jsonl" }
traces = { source = "generate", samples = 1, sampling = { max_new_tokens = 6 } }
"""
)


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    """A teacher, a base in safetensors, and its distilled self as one GGUF file."""
    made = Studio(tmp_path, STUDY)
    for seed, name in enumerate(("teacher", "student")):
        tiny.make_qwen(tmp_path / name, seed=seed)
    folder = tmp_path / "distilled"
    tokenizer = tiny.byte_level(["<|im_start|>", "<|im_end|>", "<think>", "</think>"])
    shutil.copytree(tmp_path / "student", folder)
    (folder / "model.safetensors").unlink()
    write_gguf(tiny.llama(tiny.size_of(tokenizer)), tokenizer, "<|im_end|>", folder / "m.gguf")
    made.write_problems("bench", range(100, 106))
    return made


def test_a_distilled_model_in_a_gguf_file_writes_and_is_attributed(studio: Studio) -> None:
    built = studio.build()
    assert built["traces"] == 3, "answers of the teacher, the base and the distilled model"
    opened = studio.open()
    assert models_in(opened)["student (distilled)"].spec.gguf == "m.gguf"
    arm = next(c for c in opened.study.configurations() if c.kind == "arm")
    plan = Plan(opened.store)
    scores = {
        use.role: plan.state(use.table).parts for use in arm.uses if use.table.name == "scores"
    }
    assert scores.keys() == {"teacher", "student", "distilled"}
    rows = [
        row
        for parts in scores.values()
        for part in Parts(opened.store, TokenScores, parts)
        for row in part
    ]
    assert len(rows) == 3 * 6
    assert {row.status for row in rows} == {ScoreStatus.OK}
    assert len({row.scorer for row in rows}) == 3


@pytest.mark.parametrize("method", ["awq", "gptq"])
def test_a_package_that_unpacks_weights_is_named_where_it_is_missing(method: str) -> None:
    with pytest.raises(ValueError, match=r"needs the package gptqmodel: pip install 'rdpt\[awq\]'"):
        check_packing(f'{{"quant_method": "{method}"}}', gpu=True)
    with pytest.raises(ValueError, match="which needs a GPU"):
        check_packing(f'{{"quant_method": "{method}"}}', gpu=False)
