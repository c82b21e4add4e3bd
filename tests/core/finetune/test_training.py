"""Fine-tuning on a model of some 20,000 weights, made here; every worker is the real process."""

from __future__ import annotations

import json
import os
import random
import re
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from rdpt_core.finetune import checkpoints, training
from rdpt_core.finetune.training import TrainingExample, train
from rdpt_core.tables.rows import TrainingStep
from tests.core.finetune.tiny_students import MACHINE, NUM_STEPS, RECIPE, TEMPLATE, base, examples

__all__ = ["base", "examples"]

OnStep = Callable[[TrainingStep], None]


@pytest.fixture(scope="module")
def run(base: Path, examples: list[TrainingExample]) -> Callable[..., list[TrainingStep]]:
    def start(
        folder: Path,
        on_step: OnStep = lambda step: None,
        rows: Sequence[TrainingExample] = examples,
    ) -> list[TrainingStep]:
        places = (folder / "work", folder / "out")
        return train(base, rows, RECIPE, 7, "student-a", *places, MACHINE, on_step)

    return start


@pytest.fixture(scope="module")
def whole(
    run: Callable[..., list[TrainingStep]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[TrainingStep]]:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(folder)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(folder / "out/checkpoint/model.safetensors"))


def test_every_step_is_told_once_and_counts_the_completion_tokens(
    whole: tuple[Path, list[TrainingStep]], examples: list[TrainingExample]
) -> None:
    _, steps = whole
    assert [step.step for step in steps] == list(range(1, NUM_STEPS + 1))
    assert {step.student for step in steps} == {"student-a"}
    num_tokens = sum(sum(example.completion_mask) for example in examples)
    assert [step.tokens_seen for step in steps[2::3]] == [n * num_tokens for n in range(1, 7)]
    assert steps[-1].loss < steps[0].loss
    rates = [step.learning_rate for step in steps]
    assert rates[0] == 0
    assert rates[2] == max(rates) == RECIPE.learning_rate, "two steps of warm-up, 10% of 18"
    assert rates[2:] == sorted(rates[2:], reverse=True)


def test_the_loss_is_the_mean_cross_entropy_of_the_completion_tokens(
    whole: tuple[Path, list[TrainingStep]], base: Path, examples: list[TrainingExample]
) -> None:
    """Loss of the first optimiser step by hand: one example at a time, no padding, float64."""
    from rdpt_core.finetune import trainer

    folder, steps = whole
    job = training.TrainingJob.model_validate_json((folder / "work/job.json").read_bytes())
    order = trainer.tuner(job, callbacks=[]).get_train_dataloader()
    fed = [row for _, batch in zip(range(2), order, strict=False) for row in batch["input_ids"]]
    seen = [
        e for e in examples if any(row[: len(e.input_ids)].tolist() == e.input_ids for row in fed)
    ]
    assert len(seen) == RECIPE.global_batch

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float64)
    total, num_tokens = 0.0, 0
    for example in seen:
        logits = model(torch.tensor([example.input_ids])).logits[0]
        logprobs = torch.log_softmax(logits, dim=-1)
        for position, counted in enumerate(example.completion_mask):
            if counted:
                total -= logprobs[position - 1, example.input_ids[position]].item()
                num_tokens += 1
    assert steps[0].tokens_seen == num_tokens
    assert steps[0].loss == pytest.approx(total / num_tokens, abs=1e-5)


def test_the_preview_shows_what_is_trained_on(whole: tuple[Path, list[TrainingStep]]) -> None:
    text = (whole[0] / "out/preview.txt").read_text()
    kinds = [line.split()[0] for line in text.splitlines() if "tokens  " in line]
    assert kinds[:2] == ["prompt", "loss"]
    assert kinds.count("loss") == MACHINE.device_batch
    assert re.search(r'prompt +\d+ tokens  "How much is \d and \d\?\\n"', text)
    assert re.search(r'loss +\d+ tokens  "It is \d+!*<end>"', text)


def test_the_distilled_model_loads_anywhere_and_keeps_the_bases_tokenizer(
    whole: tuple[Path, list[TrainingStep]], base: Path
) -> None:
    folder = whole[0] / "out/checkpoint"
    model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
    assert model.dtype == torch.float32
    assert model.generation_config.temperature == pytest.approx(0.6)
    assert AutoTokenizer.from_pretrained(folder).chat_template == TEMPLATE
    same = {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    same |= {"generation_config.json"}
    for name in same:
        assert (folder / name).read_bytes() == (base / name).read_bytes()
    assert {file.name for file in folder.iterdir()} == same | {"config.json", "model.safetensors"}
    name = "model.norm.weight"
    assert not torch.equal(model.state_dict()[name], load_file(base / "model.safetensors")[name])


def test_a_finished_training_is_written_again_where_other_ends_of_turn_are_wanted(
    base: Path, examples: list[TrainingExample], tmp_path: Path
) -> None:
    recipe = RECIPE.model_copy(update={"epochs": 1})
    places = (tmp_path / "work", tmp_path / "out")
    stated, curves = [], []
    for ends in ((1,), (1, 7)):
        curves.append(train(base, examples, recipe, 7, "s", *places, MACHINE, ends=ends))
        settings = json.loads((tmp_path / "out/checkpoint/generation_config.json").read_bytes())
        stated.append(settings["eos_token_id"])
    assert stated == [[1], [1, 7]]
    assert curves[0] == curves[1]
    starts = re.findall(r"^starts from .*", (tmp_path / "work/finetune.log").read_text(), re.M)
    assert starts[1].endswith("checkpoint-3"), "no step is taken again"


@pytest.mark.fault("F04", "F05")
def test_interrupted_killed_and_with_a_torn_checkpoint_the_weights_are_the_same(
    run: Callable[..., list[TrainingStep]],
    whole: tuple[Path, list[TrainingStep]],
    examples: list[TrainingExample],
    tmp_path: Path,
) -> None:
    saved = tmp_path / "work/checkpoints"

    def interrupt(step: TrainingStep) -> None:
        if step.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, interrupt)
    assert checkpoints.in_order(saved), "asked to end, a worker saves before it does"

    fatal = random.randint(7, 10)

    def kill(step: TrainingStep) -> None:
        if step.step == fatal:
            os.kill(int((tmp_path / "work/lock").read_text()), signal.SIGKILL)

    with pytest.raises(RuntimeError, match="killed by signal 9"):
        run(tmp_path, kill)
    *_, older, newest = checkpoints.in_order(saved)
    # The kill may have torn the newest one by itself; now it is torn for certain.
    (newest / checkpoints.MARKER).unlink(missing_ok=True)
    (newest / "optimizer.pt").write_bytes(b"torn")

    told: list[TrainingStep] = []
    steps = run(tmp_path, told.append, list(reversed(examples)))
    assert steps == told == whole[1], f"killed at step {fatal}"
    assert [path.name for path in (tmp_path / "work/quarantine").iterdir()] == [
        f"000-{newest.name}"
    ]
    assert f"starts from {older}" in (tmp_path / "work/finetune.log").read_text()
    expected = weights(whole[0])
    for name, tensor in weights(tmp_path).items():
        assert torch.equal(tensor, expected[name]), f"{name}, killed at step {fatal}"


def test_unusable_examples_are_refused_by_name_before_anything_starts(
    base: Path, examples: list[TrainingExample], tmp_path: Path
) -> None:
    recipe = RECIPE.model_copy(update={"max_length": 30})
    rows = [
        *examples,
        TrainingExample("prompt-only", [5] * 4, [0] * 4),
        TrainingExample("no-prompt", [5] * 4, [1] * 4),
        TrainingExample("foreign", [5, 9999], [0, 1]),
        examples[3],
    ]
    with pytest.raises(ValueError, match="raise max_length in the training recipe") as error:
        train(base, rows, recipe, 7, "s", tmp_path / "work", tmp_path / "out", MACHINE)
    long = [example.trace_id for example in examples if len(example.input_ids) > 30]
    assert long
    for name in [*long, "prompt-only", "no-prompt", "foreign", "trace-3"]:
        assert f"{name}: " in str(error.value)
    assert not list(tmp_path.iterdir())
