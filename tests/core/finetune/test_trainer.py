"""Every way in which a recipe can be carried out, on a tiny model, in this process.

The way must not change what is learned: the plain run is the reference of all the others.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import shutil
import signal
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from rdpt_core.finetune import checkpoints, trainer
from rdpt_core.finetune.export import load_base
from rdpt_core.finetune.recipe import TrainingRecipe
from rdpt_core.finetune.rows import Rows
from rdpt_core.finetune.trainer import Step, Tuner, check_rows_apart, fit
from rdpt_core.finetune.training import TrainingExample, TrainingJob, checked, prepare
from rdpt_core.models.spec import Rope
from tests.core.finetune.tiny_students import MACHINE, NUM_STEPS, RECIPE, base, examples
from tests.core.models import tiny
from tests.core.models.test_refusals import Evil

__all__ = ["base", "examples"]

LORA: dict[str, Any] = {"rank": 4, "alpha": 8, "targets": ("q_proj", "down_proj")}
Weights = dict[str, torch.Tensor]


class Bench:
    """Fine-tunes in this process; each run has a folder of its own."""

    def __init__(self, base: Path, examples: list[TrainingExample], root: Path) -> None:
        self.base, self.examples, self.root = base, examples, root

    def job(
        self, name: str, rope: Rope | None = None, ends: tuple[int, ...] = (), **changes: Any
    ) -> TrainingJob:
        recipe = TrainingRecipe(**(RECIPE.model_dump() | changes))
        folder = self.root / name
        for part in ("work", "out"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        ordered = checked(self.examples, recipe.max_length, 999)
        return prepare(
            self.base, ordered, recipe, 7, "s", folder / "work", folder / "out", MACHINE, rope, ends
        )

    def run(self, job: TrainingJob) -> list[Step]:
        told: list[Step] = []
        fit(job, told.append, Event())
        return told


def weights(job: TrainingJob) -> Weights:
    return dict(load_file(job.out / "checkpoint" / "model.safetensors"))


def losses(steps: list[Step]) -> list[Any]:
    return [step["loss"] for step in steps]


@pytest.fixture(scope="module")
def bench(
    base: Path, examples: list[TrainingExample], tmp_path_factory: pytest.TempPathFactory
) -> Bench:
    return Bench(base, examples, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def plain(bench: Bench) -> tuple[list[Step], Weights]:
    job = bench.job("plain")
    return bench.run(job), weights(job)


def test_recomputed_activations_change_no_bit(
    bench: Bench, plain: tuple[list[Step], Weights]
) -> None:
    job = bench.job("recomputed", gradient_checkpointing=True)
    assert bench.run(job) == plain[0]
    assert all(torch.equal(tensor, plain[1][name]) for name, tensor in weights(job).items())


def test_packed_steps_learn_what_padded_ones_do(
    bench: Bench, plain: tuple[list[Step], Weights]
) -> None:
    steps = bench.run(bench.job("packed", packing=True))
    assert losses(steps) == pytest.approx(losses(plain[0]), abs=1e-4)
    assert losses(steps)[:2] == pytest.approx(losses(plain[0])[:2], abs=1e-6)
    counts = [(step["num_fed"], step["num_trained"]) for step in steps]
    assert counts == [(step["num_fed"], step["num_trained"]) for step in plain[0]]


@torch.no_grad()
def _losses_by_example(
    model: Any, rows: Rows, laid: list[list[int]], restart: bool = True
) -> dict[int, torch.Tensor]:
    batch = rows.batch(laid)
    positions = batch["position_ids"]
    if not restart:
        positions = torch.arange(positions.shape[1]).expand_as(positions)
    logits = model(input_ids=batch["input_ids"], position_ids=positions, use_cache=False).logits
    targets = batch["labels"][:, 1:]
    found = torch.nn.functional.cross_entropy(
        logits[:, :-1].transpose(1, 2), targets, reduction="none", ignore_index=-100
    )
    by_example = {}
    for number, row in enumerate(laid):
        start = 0
        for example in row:
            stop = start + rows.num_tokens[example]
            stretch = slice(start, stop - 1)
            by_example[example] = found[number, stretch][targets[number, stretch] != -100]
            assert len(by_example[example]) == rows.num_trained[example]
            start = stop
    return by_example


def test_an_architecture_that_lets_packed_examples_see_each_other_is_refused(
    bench: Bench,
) -> None:
    model = load_base(bench.base)
    check_rows_apart(model)
    forward = model.model.forward
    model.model.forward = lambda position_ids=None, **rest: forward(**rest)
    with pytest.raises(ValueError, match="set packing = false"):
        check_rows_apart(model)


def test_bfloat16_comes_close_and_keeps_float32_weights(
    bench: Bench, plain: tuple[list[Step], Weights]
) -> None:
    job = bench.job("bfloat16", dtype="bfloat16", epochs=1, global_batch=8, warmup_ratio=0)
    reference = bench.job("float32", epochs=1, global_batch=8, warmup_ratio=0)
    found = losses(bench.run(job))
    assert found == pytest.approx(losses(bench.run(reference)), rel=0.02)
    assert found != losses(bench.run(reference))
    assert {tensor.dtype for tensor in weights(job).values()} == {torch.float32}


def test_the_held_out_loss_is_measured_after_every_epoch_on_what_is_not_trained_on(
    bench: Bench, examples: list[TrainingExample]
) -> None:
    job = bench.job("held-out", held_out=0.2, learning_rate=1e-12, weight_decay=0, packing=True)
    steps = bench.run(job)
    measured = [step["held_out_loss"] for step in steps]
    assert [value is not None for value in measured] == [False, True] * 6, "8 examples by 4"
    rows = Rows(job.examples, held_out=True)
    assert len(rows) == 2
    model = AutoModelForCausalLM.from_pretrained(bench.base, dtype=torch.float32)
    tokens = torch.cat(list(_losses_by_example(model, rows, [[0], [1]]).values()))
    assert measured[1] == pytest.approx(tokens.mean().item(), abs=1e-5)
    trained = sum(sum(e.completion_mask) for e in examples if e.trace_id not in rows.trace_ids)
    assert steps[-1]["tokens_seen"] == 6 * trained


@pytest.mark.fault("F04")
@pytest.mark.parametrize("kind", ["packing", "lora"])
def test_killed_and_run_again_the_weights_are_the_same(bench: Bench, kind: str) -> None:
    """The dropout of the adapter draws random numbers: those go on, too."""
    kinds: dict[str, dict[str, Any]] = {
        "packing": {"packing": True},
        "lora": {"lora": LORA | {"dropout": 0.2}},
    }
    changes = kinds[kind]
    whole = bench.job(f"{kind}-whole", **changes)
    steps = bench.run(whole)
    job = bench.job(f"{kind}-killed", **changes)
    fatal = random.randint(5, NUM_STEPS - 2)

    def kill(step: Step) -> None:
        if step["step"] == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    child = multiprocessing.get_context("fork").Process(target=fit, args=(job, kill, Event()))
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    assert bench.run(job) == steps, f"killed at step {fatal}"
    expected = weights(whole)
    assert all(torch.equal(t, expected[n]) for n, t in weights(job).items()), f"step {fatal}"


@pytest.mark.fault("F05")
def test_killed_while_its_model_is_written_a_training_takes_no_step_again(
    bench: Bench, plain: tuple[list[Step], Weights], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bench.job("killed-in-export")

    def work() -> None:
        monkeypatch.setattr(trainer, "export", lambda *_: os.kill(os.getpid(), 9))
        fit(job, lambda step: None, Event())

    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    monkeypatch.setattr(Tuner, "training_step", lambda *_: pytest.fail("a step was taken again"))
    assert bench.run(job) == plain[0]
    assert all(torch.equal(tensor, plain[1][name]) for name, tensor in weights(job).items())


@pytest.mark.fault("X2")
@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_x2_a_pickle_in_a_checkpoint_is_not_opened(
    bench: Bench, plain: tuple[list[Step], Weights], tmp_path: Path, name: str
) -> None:
    """Even where its hashes say that it is whole: resuming reads it with weights_only."""
    job = bench.job(f"pickled-{name}")
    shutil.copytree(bench.job("plain").workdir, job.workdir, dirs_exist_ok=True)
    *_, newest, last = checkpoints.in_order(job.workdir / "checkpoints")
    shutil.rmtree(last)  # so that there are steps left to take
    canary = tmp_path / "canary"
    torch.save(Evil(canary), newest / name)
    checkpoints.seal(newest, job.run)
    with pytest.raises(pickle.UnpicklingError):
        bench.run(job)
    assert not canary.exists()


# ---------------------------------------------------------------------------- LoRA


# ---------------------------------------------------------------------------- what it leaves


def test_an_adapter_of_all_linear_layers_leaves_the_choice_of_experts_alone(
    bench: Bench, tmp_path: Path
) -> None:
    """Through a whole training; named among the targets, routers are trained."""
    torch.manual_seed(0)
    shape = tiny.SIZE | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    config = AutoConfig.for_model("qwen3_moe", vocab_size=300, head_dim=8, **shape)
    sparse = Bench(shutil.copytree(bench.base, tmp_path / "moe"), bench.examples, tmp_path)
    AutoModelForCausalLM.from_config(config).save_pretrained(sparse.base)

    def changed(name: str, **lora: Any) -> set[str]:
        job = sparse.job(name, epochs=1, lora={"rank": 2, "alpha": 4, **lora})
        sparse.run(job)
        before, after = load_file(sparse.base / "model.safetensors"), weights(job)
        assert before.keys() == after.keys()
        return {
            key.split("layers.0.")[-1]
            for key in after
            if "layers.0." in key and not torch.equal(before[key], after[key])
        }

    everything = changed("everything")
    assert {"self_attn.q_proj.weight", "mlp.experts.0.up_proj.weight"} <= everything
    assert "mlp.gate.weight" not in everything
    assert changed("named", targets=("q_proj", "gate")) == {
        "self_attn.q_proj.weight",
        "mlp.gate.weight",
    }


# ---------------------------------------------------------------------------- several processes
