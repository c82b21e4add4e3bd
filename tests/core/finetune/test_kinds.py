"""Every way in which a recipe can be carried out, on a tiny model, in this process.

The way must not change what is learned: the plain run is the reference of all the others.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, LogitsProcessorList

from rdpt_core.finetune import trainer
from rdpt_core.finetune.export import load_base, write_model
from rdpt_core.finetune.launch import configuration
from rdpt_core.finetune.recipe import Accelerate, TrainingRecipe
from rdpt_core.finetune.rows import Rows, preview
from rdpt_core.finetune.trainer import Step, Tuner, check_rows_apart, fit
from rdpt_core.finetune.training import TrainingExample, TrainingJob, checked, prepare, train
from rdpt_core.models.adapters import WEIGHTS
from rdpt_core.models.identity import identify
from rdpt_core.models.loading.weights import load
from rdpt_core.models.spec import ModelSpec, Rope
from rdpt_core.scoring.packing import packed
from tests.core.finetune.tiny_students import MACHINE, NUM_STEPS, RECIPE, base, examples
from tests.core.models import tiny

__all__ = ["base", "examples"]

LORA: dict[str, Any] = {"rank": 4, "alpha": 8, "targets": ("q_proj", "down_proj")}
PLUGIN = {"some_field": 1}
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


def test_an_example_has_the_loss_that_it_has_alone_whatever_it_is_packed_with(
    bench: Bench,
) -> None:
    """In float32, token by token; and the row before does reach it where positions run on."""
    rows = Rows(bench.job("rows").examples, held_out=False)
    model = AutoModelForCausalLM.from_pretrained(bench.base, dtype=torch.float32)
    laid = packed(range(len(rows)), rows.num_tokens, 64)
    assert max(map(len, laid)) > 1
    together = _losses_by_example(model, rows, laid)
    alone = _losses_by_example(model, rows, [[i] for i in range(len(rows))])
    assert together.keys() == alone.keys()
    for example, expected in alone.items():
        assert torch.allclose(together[example], expected, rtol=0, atol=1e-5)
    leaking = _losses_by_example(model, rows, laid, restart=False)
    assert any((leaking[i] - alone[i]).abs().max() > 1e-3 for i in alone)


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


def test_the_preview_of_a_packed_row_shows_each_example_of_it(bench: Bench) -> None:
    from transformers import AutoTokenizer

    rows = Rows(bench.job("rows").examples, held_out=False)
    text = preview(rows, [[3, 1], [0]], AutoTokenizer.from_pretrained(bench.base))
    first, second = text.split("\nrow ")[1:]
    assert first.startswith("1: trace-3, trace-1\n")
    kinds = [line.split()[0] for line in first.splitlines()[1:]]
    assert kinds == ["prompt", "loss", "prompt", "loss"]
    assert [line.split()[0] for line in second.splitlines()[1:]] == ["prompt", "loss", "padding"]
    assert '"How much is 3 and 3?\\n"' in first
    assert '"How much is 1 and 1?\\n"' in first


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


# ---------------------------------------------------------------------------- LoRA


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


# ---------------------------------------------------------------------------- what it leaves


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


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"accelerate": {"num_processes": 3}}, "does not divide global_batch"),
        (
            {"accelerate": {"num_processes": 2, "fsdp_config": PLUGIN, "deepspeed_config": PLUGIN}},
            "exclude each other",
        ),
        ({"accelerate": {"num_processes": 2, "mixed_precision": "bf16"}}, "mixed_precision"),
        ({"lora": {"rank": 0}}, "rank"),
        ({"held_out": 1.0}, "held_out"),
    ],
)
def test_a_recipe_that_cannot_be_carried_out_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TrainingRecipe(**changes)
