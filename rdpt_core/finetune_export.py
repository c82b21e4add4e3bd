"""What a fine-tuning leaves: a folder that loads as a model, or an adapter of its base."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from rdpt_core.finetune import Job
from rdpt_core.models.adapters import merged, write_adapter
from rdpt_core.models.identity import TEMPLATE, TOKENIZER, hash_files, tensors_digest
from rdpt_core.models.loading import attention_of


def load_base(base: Path) -> PreTrainedModel:
    """In float32 whatever is stored: an optimiser's steps vanish in bfloat16 weights."""
    here: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    config = AutoConfig.from_pretrained(base, **here)
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        base,
        dtype=torch.float32,
        attn_implementation=attention_of(config),
        use_safetensors=True,
        **here,
    )
    return model


def export(job: Job, model: Any, state: dict[str, Any], folder: Path) -> None:
    """Writes the trained model; `state` holds its weights whole, however they were sharded."""
    partial = folder.with_name(folder.name + ".partial")
    for leftover in (partial, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    lora = job.recipe.lora
    if lora is None:
        write_model(model, state, job.base, partial, job.recipe.save_dtype)
    else:
        adapter = partial if lora.keep == "adapter" else job.workdir / "adapter"
        write_adapter(model, state, tensors_digest(hash_files(job.base)), adapter)
        if lora.keep == "merged":
            # Merged by the way in which adapters are loaded: both kinds then give equal numbers.
            whole = merged(load_base(job.base), adapter, torch.float32)
            write_model(whole, whole.state_dict(), job.base, partial, job.recipe.save_dtype)
    partial.rename(folder)


def write_model(model: Any, state: dict[str, Any], base: Path, folder: Path, dtype: str) -> None:
    """A folder that loads anywhere: the new weights, and the base's own tokenizer, template and
    generation settings byte for byte, so that these keep their identity."""
    wanted = getattr(torch, dtype)
    state = {name: t.to(wanted) if t.is_floating_point() else t for name, t in state.items()}
    model.save_pretrained(folder, state_dict=state)
    for written in folder.iterdir():
        if ".safetensors" not in written.name:  # what the trainer set for itself stays behind
            written.unlink()
    for name in (*TOKENIZER, *TEMPLATE, "generation_config.json"):
        if (base / name).exists():
            shutil.copyfile(base / name, folder / name)
    config = json.loads((base / "config.json").read_bytes())
    config["torch_dtype" if "torch_dtype" in config else "dtype"] = dtype
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
