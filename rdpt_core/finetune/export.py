"""What a fine-tuning leaves: a folder that loads as a model, or an adapter of its base."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from rdpt_core.finetune.training import TrainingJob
from rdpt_core.models.adapters import merged, write_adapter
from rdpt_core.models.files import ENDS, TEMPLATE, TOKENIZER, hash_files, read_object
from rdpt_core.models.identity import tensors_digest
from rdpt_core.models.loading.weights import attention_of, stretch
from rdpt_core.models.spec import Rope


def load_base(base: Path, rope: Rope | None = None) -> PreTrainedModel:
    """In float32 whatever is stored: an optimiser's steps vanish in bfloat16 weights."""
    here: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    config = AutoConfig.from_pretrained(base, **here)
    if rope is not None:
        stretch(config, rope)
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        base,
        config=config,
        dtype=torch.float32,
        attn_implementation=attention_of(config),
        use_safetensors=True,
        **here,
    )
    return model


def export(job: TrainingJob, model: Any, state: dict[str, Any], folder: Path) -> None:
    """Writes the trained model; `state` holds its weights whole, however they were sharded."""
    partial = folder.with_name(folder.name + ".partial")
    for leftover in (partial, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    lora = job.recipe.lora
    if lora is None:
        write_model(model, state, job, partial)
    else:
        adapter = partial if lora.keep == "adapter" else job.workdir / "adapter"
        write_adapter(model, state, tensors_digest(hash_files(job.base)), adapter)
        if lora.keep == "merged":
            # Merged by the way in which adapters are loaded: both kinds then give equal numbers.
            whole = merged(load_base(job.base, job.rope), adapter, torch.float32)
            write_model(whole, whole.state_dict(), job, partial)
    partial.rename(folder)


def write_model(model: Any, state: dict[str, Any], job: TrainingJob, folder: Path) -> None:
    """A folder that loads anywhere: the new weights, the base's own tokenizer and template byte
    for byte, so that these keep their identity, and settings that say what was trained."""
    wanted = getattr(torch, job.recipe.save_dtype)
    state = {name: t.to(wanted) if t.is_floating_point() else t for name, t in state.items()}
    for name, source in model.all_tied_weights_keys.items():
        if source in state:  # gathered from shards, a tied weight is a copy and no longer shared
            state.pop(name, None)
    model.save_pretrained(folder, state_dict=state)
    for written in folder.iterdir():
        if ".safetensors" not in written.name:  # what the trainer set for itself stays behind
            written.unlink()
    for name in (*TOKENIZER, *TEMPLATE, ENDS):
        if (job.base / name).exists():
            shutil.copyfile(job.base / name, folder / name)
    _write(folder / "config.json", _config(job, model))
    if job.ends:
        # Other engines stop by these alone, and the base's may lack the end that was trained.
        settings = read_object(job.base / ENDS) if (job.base / ENDS).exists() else {}
        _write(folder / ENDS, settings | {"eos_token_id": list(job.ends)})


def _config(job: TrainingJob, model: Any) -> dict[str, Any]:
    """The base's own, with the dtype and, where positions were stretched, how: the folder alone is
    then the stretched model."""
    config = read_object(job.base / "config.json")
    config["torch_dtype" if "torch_dtype" in config else "dtype"] = job.recipe.save_dtype
    if job.rope is not None:
        stretched = model.config.get_text_config()
        text = config.get("text_config", config)
        text["max_position_embeddings"] = stretched.max_position_embeddings
        parameters = dict(stretched.rope_parameters)
        if "rope_theta" in text:  # as files were written before transformers 5
            text["rope_theta"] = parameters.pop("rope_theta")
            text["rope_scaling"] = parameters
        else:
            text["rope_parameters"] = parameters
    return config


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
