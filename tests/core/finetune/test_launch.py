"""One training in several processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from rdpt_core.finetune.launch import configuration
from rdpt_core.finetune.recipe import Accelerate
from rdpt_core.finetune.training import TrainingExample, train
from rdpt_core.tables.rows import TrainingStep
from tests.core.finetune.test_trainer import Bench, bench, losses, weights
from tests.core.finetune.tiny_students import MACHINE, base, examples

__all__ = ["base", "bench", "examples"]


def test_two_processes_take_the_steps_of_one(
    bench: Bench, examples: list[TrainingExample], tmp_path: Path
) -> None:
    """Through accelerate, over gloo; the last step of an epoch has less than both could take."""
    changes: dict[str, Any] = {"epochs": 2, "held_out": 0.1, "packing": True, "global_batch": 4}
    alone = bench.job("one-process", **changes)
    expected = bench.run(alone)
    recipe = alone.recipe.model_copy(update={"accelerate": Accelerate(num_processes=2)})
    steps = train(
        bench.base, examples, recipe, 7, "s", tmp_path / "work", tmp_path / "out", MACHINE
    )
    assert [step.loss for step in steps] == pytest.approx(losses(expected), abs=1e-5)
    for name in ("step", "tokens_seen", "num_fed", "num_trained"):
        assert [getattr(step, name) for step in steps] == [step[name] for step in expected]
    measured = [step["held_out_loss"] for step in expected]
    assert [step.held_out_loss for step in steps] == pytest.approx(measured, abs=1e-5)
    found, same = load_file(tmp_path / "out/checkpoint/model.safetensors"), weights(alone)
    assert found.keys() == same.keys()
    assert all(torch.allclose(t, same[name], rtol=0, atol=1e-4) for name, t in found.items())


SHARDED = {
    "fsdp_version": 2,
    "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
    "fsdp_state_dict_type": "FULL_STATE_DICT",
    "fsdp_cpu_ram_efficient_loading": False,
}


@pytest.mark.parametrize("fsdp_config", [{}, SHARDED], ids=["copied", "sharded"])
def test_a_rank_that_is_killed_costs_the_steps_since_a_checkpoint(
    bench: Bench, examples: list[TrainingExample], tmp_path: Path, fsdp_config: dict[str, Any]
) -> None:
    """Then the same call goes on, and ends with what one process would have trained."""
    alone = bench.job(f"alone-{len(fsdp_config)}", epochs=3)
    expected = bench.run(alone)
    accelerate = Accelerate(num_processes=2, fsdp_config=fsdp_config)
    recipe = alone.recipe.model_copy(update={"accelerate": accelerate})
    folders = tmp_path / "work", tmp_path / "out"

    def kill_the_second(step: TrainingStep) -> None:
        if step.step == 5:
            (second,) = [one for one in psutil.Process().children(recursive=True) if is_second(one)]
            second.kill()

    with pytest.raises(RuntimeError):
        train(bench.base, examples, recipe, 7, "s", *folders, MACHINE, kill_the_second)
    log = folders[0] / "finetune.log"
    assert "checkpoint-3" not in log.read_text()
    steps = train(bench.base, examples, recipe, 7, "s", *folders, MACHINE)
    assert f"starts from {folders[0] / 'checkpoints/checkpoint-3'}" in log.read_text()
    assert [step.loss for step in steps] == pytest.approx(losses(expected), abs=1e-5)
    found, same = load_file(folders[1] / "checkpoint/model.safetensors"), weights(alone)
    assert found.keys() == same.keys(), "also where weights are tied, which shards are not"
    assert all(torch.allclose(t, same[name], rtol=0, atol=1e-4) for name, t in found.items())


def is_second(process: psutil.Process) -> bool:
    return process.cmdline()[-1:] == ["launched"] and process.environ().get("RANK") == "1"


def test_accelerate_reads_the_recipes_own_fields(bench: Bench, tmp_path: Path) -> None:
    """Sharding needs GPUs; here only that it is asked for in accelerate's words."""
    from accelerate.commands.config.config_args import load_config_from_file

    fields = {"fsdp_version": 2, "fsdp_reshard_after_forward": True}
    accelerate = Accelerate(num_processes=4, fsdp_config=fields)
    job = bench.job("sharded", accelerate=accelerate.model_dump(), dtype="bfloat16")
    file = tmp_path / "accelerate.json"
    file.write_text(json.dumps(configuration(job)))
    read = load_config_from_file(str(file))
    assert (read.distributed_type, read.num_processes) == ("FSDP", 4)
    assert (read.mixed_precision, read.use_cpu, read.fsdp_config) == ("bf16", True, fields)
