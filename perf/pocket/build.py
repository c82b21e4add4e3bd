"""From nothing to a model folder: tokenizer, training, export, measurement, card."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3ForCausalLM

from perf.pocket.cards import Measured, card
from perf.pocket.corpus import Role
from perf.pocket.evaluate import accuracies
from perf.pocket.train import RECIPES, Training
from perf.pocket.vocabulary import trained_tokenizer


def build(role: Role, workdir: Path, folder: Path, minutes: float | None = None) -> None:
    """Trains one model, or resumes it; a complete one gets its folder and card."""
    workdir.mkdir(parents=True, exist_ok=True)
    training = Training(role, kept_tokenizer(role, workdir), workdir, RECIPES[role])
    if not training.run(minutes):
        done, total = training.progress.step, training.recipe.steps
        print(f"{role}: {done} of {total} steps; give the command again to resume")
        return
    export(training.model, training.tokenizer, folder)
    text = card(role, measured(training, folder))
    (folder / "README.md").write_text(text, encoding="utf-8")
    print(text)


def kept_tokenizer(role: Role, workdir: Path) -> PreTrainedTokenizerFast:
    folder = workdir / f"{role}-tokenizer"
    if not (folder / "tokenizer.json").exists():
        trained_tokenizer(role).save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    return tokenizer


def export(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """A folder in bfloat16 that loads like any other local model; the weights come last, whole."""
    staging = folder.with_name(folder.name + ".part")
    shipped = Qwen3ForCausalLM(model.config)
    shipped.load_state_dict(model.state_dict())
    torch.nn.Module.to(shipped, torch.bfloat16)
    shipped.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=True,
        temperature=1.0,
        max_new_tokens=512,
    )
    shipped.save_pretrained(staging)
    tokenizer.save_pretrained(staging)
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(staging.iterdir(), key=lambda f: f.suffix == ".safetensors"):
        file.chmod(0o644)
        os.replace(file, folder / file.name)
    staging.rmdir()


def measured(training: Training, folder: Path) -> Measured:
    """Accuracy is that of the folder as shipped: bfloat16 weights, computed in float32."""
    model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    torch.nn.Module.to(model, training.device)
    recipe, progress = training.recipe, training.progress
    return Measured(
        parameters=model.num_parameters(),
        weights_bytes=(folder / "model.safetensors").stat().st_size,
        vocabulary=len(training.tokenizer),
        steps=progress.step,
        examples=progress.step * recipe.examples,
        early=recipe.early,
        late=recipe.late * recipe.examples,
        tokens=progress.tokens,
        seconds=progress.seconds,
        threads=torch.get_num_threads(),
        accuracies=accuracies(model, training.tokenizer),
    )
