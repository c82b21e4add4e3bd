"""The folder of a student: merged or an adapter, stretched or not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, LogitsProcessorList

from rdpt_core.finetune.export import load_base, write_model
from rdpt_core.finetune.trainer import Step
from rdpt_core.finetune.training import TrainingJob
from rdpt_core.models.adapters import WEIGHTS
from rdpt_core.models.identity import identify
from rdpt_core.models.loading.weights import load
from rdpt_core.models.spec import ModelSpec, Rope
from tests.core.finetune.test_trainer import LORA, Bench, Weights, bench, losses, plain, weights
from tests.core.finetune.tiny_students import base, examples

__all__ = ["base", "bench", "examples", "plain"]


@pytest.fixture(scope="module")
def adapted(bench: Bench) -> tuple[TrainingJob, TrainingJob]:
    """The same training, kept as an adapter and merged."""
    jobs = [bench.job(keep, lora=LORA | {"keep": keep}) for keep in ("adapter", "merged")]
    steps = [bench.run(job) for job in jobs]
    assert steps[0] == steps[1]
    assert losses(steps[0])[-1] < losses(steps[0])[0]
    return jobs[0], jobs[1]


def test_a_merged_adapter_is_the_base_with_scaled_products_in_its_targets(
    bench: Bench, adapted: tuple[TrainingJob, TrainingJob]
) -> None:
    adapter = load_file(adapted[0].out / "checkpoint" / WEIGHTS)
    before, after = load_file(bench.base / "model.safetensors"), weights(adapted[1])
    assert before.keys() == after.keys()
    for name, tensor in after.items():
        expected = before[name].float()
        prefix = f"base_model.model.{name.removesuffix('.weight')}"
        if name.split(".")[-2] in LORA["targets"]:
            b, a = adapter[f"{prefix}.lora_B.weight"], adapter[f"{prefix}.lora_A.weight"]
            expected = expected + 8 / 4 * (b @ a)
            assert not torch.equal(tensor, before[name].float())
        assert torch.allclose(tensor, expected, rtol=0, atol=1e-6), name


def test_an_adapter_is_the_update_alone_and_names_its_base_by_content(
    bench: Bench, adapted: tuple[TrainingJob, TrainingJob]
) -> None:
    folder = adapted[0].out / "checkpoint"
    assert {file.name for file in folder.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "base.json",
    }
    written = "".join((folder / name).read_text() for name in ("adapter_config.json", "base.json"))
    assert str(bench.base) not in written


def test_base_and_adapter_load_as_the_merged_model_does(
    bench: Bench, adapted: tuple[TrainingJob, TrainingJob]
) -> None:
    folders = [job.out / "checkpoint" for job in adapted]
    spec = ModelSpec(path=str(bench.base), adapter=str(folders[0]), thinking="none")
    loaded = load(spec, bench.root)
    merged = load(ModelSpec(path=str(folders[1]), thinking="none"), bench.root)
    ids = torch.arange(20)[None]
    assert torch.equal(loaded.model(ids).logits, merged.model(ids).logits)
    assert loaded.renderer.contract.digest == merged.renderer.contract.digest


def test_the_identity_of_an_adapted_model_is_base_and_adapter(
    bench: Bench, adapted: tuple[TrainingJob, TrainingJob], tmp_path: Path
) -> None:
    spec = ModelSpec(path=str(bench.base), thinking="none")
    with_adapter = spec.model_copy(update={"adapter": str(adapted[0].out / "checkpoint")})
    found = {identify(one, tmp_path).digest for one in (spec, with_adapter)}
    assert len(found) == 2
    other = with_adapter.model_copy(update={"path": str(adapted[1].out / "checkpoint")})
    with pytest.raises(ValueError, match="was trained on another base"):
        identify(other, tmp_path)
    with pytest.raises(ValueError, match="has no adapter_config"):
        identify(with_adapter.model_copy(update={"adapter": str(bench.base)}), tmp_path)


def test_a_stretched_student_is_trained_stretched_and_its_folder_alone_is(
    bench: Bench, plain: tuple[list[Step], Weights]
) -> None:
    rope = Rope(factor=4.0)
    job = bench.job("stretched", rope=rope)
    steps = bench.run(job)
    assert losses(steps) != losses(plain[0])
    folder = job.out / "checkpoint"
    alone = load(ModelSpec(path=str(folder), thinking="none"), bench.root)
    assert alone.limit == 4 * 128
    assert alone.model.config.rope_parameters["rope_type"] == "yarn"
    stretched = load_base(bench.base, rope)
    stretched.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    ids = torch.arange(20)[None]
    assert torch.equal(alone.model(ids).logits, stretched.eval()(ids).logits)
    with pytest.raises(ValueError, match="leave it out"):  # it would be stretched twice
        load(ModelSpec(path=str(folder), thinking="none", rope=rope), bench.root)


def test_a_stretched_adapter_is_merged_into_the_stretched_base(bench: Bench) -> None:
    rope = Rope(factor=4.0)
    jobs = [
        bench.job(f"rope-{keep}", rope=rope, epochs=1, lora=LORA | {"keep": keep})
        for keep in ("adapter", "merged")
    ]
    for job in jobs:
        bench.run(job)
    folders = [str(job.out / "checkpoint") for job in jobs]
    whole = load(ModelSpec(path=folders[1], thinking="none"), bench.root)
    spec = ModelSpec(path=str(bench.base), adapter=folders[0], thinking="none", rope=rope)
    ids = torch.arange(20)[None]
    assert torch.equal(load(spec, bench.root).model(ids).logits, whole.model(ids).logits)


def test_a_config_of_before_transformers_5_carries_the_stretch_in_its_own_words(
    bench: Bench, tmp_path: Path
) -> None:
    old = shutil.copytree(bench.base, tmp_path / "old")
    config = json.loads((old / "config.json").read_text())
    theta = config.pop("rope_parameters")["rope_theta"]
    (old / "config.json").write_text(
        json.dumps(config | {"rope_theta": theta, "rope_scaling": None})
    )
    job = bench.job("old").model_copy(update={"base": old, "rope": Rope(factor=2.0)})
    model = load_base(old, job.rope)
    write_model(model, model.state_dict(), job, tmp_path / "made")
    written = json.loads((tmp_path / "made" / "config.json").read_text())
    assert (written["rope_theta"], written["rope_scaling"]["factor"]) == (theta, 2.0)
    read = AutoConfig.from_pretrained(tmp_path / "made").rope_parameters
    assert read == model.config.rope_parameters


def test_every_end_that_was_trained_stops_plain_transformers_too(bench: Bench) -> None:
    """The base's own settings name one end; the template's may be another."""
    job = bench.job("ends", epochs=1, ends=(1, 7))
    bench.run(job)
    folder = job.out / "checkpoint"
    settings = json.loads((folder / "generation_config.json").read_text())
    before = json.loads((bench.base / "generation_config.json").read_text())
    assert settings == before | {"eos_token_id": [1, 7]}
    loaded = load(ModelSpec(path=str(folder), thinking="none"), bench.root)
    assert loaded.ends == {1, 7}
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    for end in (1, 7):
        forced = LogitsProcessorList([lambda ids, scores, end=end: one_hot(scores, end)])
        written = model.generate(
            torch.arange(5, 9)[None], max_new_tokens=20, logits_processor=forced
        )
        assert written.tolist()[0][4:] == [end]


def one_hot(scores: torch.Tensor, token_id: int) -> torch.Tensor:
    forced = torch.full_like(scores, -torch.inf)
    forced[:, token_id] = 0.0
    return forced
