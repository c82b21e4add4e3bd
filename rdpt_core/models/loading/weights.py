"""Loading: a model's weights in memory, with all that is needed to read and write with it.

It takes safetensors and nothing of a stranger's code, in the format that the experiment states.

Shapes: B rows of a batch, L its longest sequence, N positions, D hidden width, V ids.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    GgufConfig,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging

from rdpt_core.models.adapters import merged
from rdpt_core.models.files import HashMemory
from rdpt_core.models.identity import ModelIdentity, identify, model_folder
from rdpt_core.models.loading.compiling import compile_decoder
from rdpt_core.models.loading.head import Head
from rdpt_core.models.refusals import check_packing
from rdpt_core.models.rendering.render import Renderer, read_renderer
from rdpt_core.models.rendering.special_ids import check_rows, ends_of
from rdpt_core.models.spec import ModelSpec, Numerics, Rope

TENSOR_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory with all that is needed to read and write with it."""

    identity: ModelIdentity
    renderer: Renderer
    model: PreTrainedModel
    decoder: PreTrainedModel
    head: Head
    limit: int
    """Longest sequence in tokens, prompt included."""
    ends: frozenset[int]
    """Ids that end the model's turn when sampled."""
    num_rows: int
    """Ids that the weights know; a tokenizer may have more, which nothing must use."""

    @cached_property
    def compiled(self) -> Callable[..., Any]:
        """The decoder through torch.compile; one for all who score with this model."""
        return compile_decoder(self.decoder)


def load(
    spec: ModelSpec,
    base: Path,
    threads: int | None = None,
    device: str = "cpu",
    memory: HashMemory | None = None,
    numerics: Numerics = "exact",
) -> LoadedModel:
    """Loads a local folder (relative to `base`) or a hub id.

    `threads` fixes torch's for the process: sampling repeats exactly only at an equal number.
    Raises ValueError for a model that is refused, ConnectionError where the hub is out of reach.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    identity = identify(spec, base, memory, numerics)
    if identity.quantisation is not None:
        check_packing(identity.quantisation, device != "cpu")
    folder = model_folder(spec, base, identity.revision)
    renderer = read_renderer(spec, folder)
    logging.disable_progress_bar()  # standard error is the caller's to write on
    packed = identity.quantisation is not None
    model = _read_weights(spec, folder, device if packed else None)
    if spec.adapter is not None:
        model = merged(model, base / Path(spec.adapter).expanduser(), TENSOR_TYPES[spec.dtype])
    if not packed:
        model.to(device)  # type: ignore[arg-type]
    model.eval()
    decoder = model.get_decoder()
    head = make_head(model, renderer.contract.num_ids)
    _check_head(model, decoder, head, renderer.contract.num_ids)
    embeddings = model.get_input_embeddings().weight
    num_rows = min(len(embeddings), len(head.weight_VD))  # type: ignore[arg-type]
    check_rows(renderer, num_rows)
    limit = spec.context or _own_limit(model.config)
    ends = ends_of(renderer, folder)
    return LoadedModel(identity, renderer, model, decoder, head, limit, ends, num_rows)


def _read_weights(spec: ModelSpec, folder: Path, device: str | None) -> PreTrainedModel:
    """`device` is that of packed weights, which are laid where they belong as they are read."""
    packed: dict[str, Any] = {"use_safetensors": True}
    if device is not None:
        packed["device_map"] = {"": device}
    if spec.gguf is not None:
        if find_spec("gguf") is None:
            raise ValueError(
                f"reading {spec.gguf} needs the package gguf: pip install 'rdpt[gguf]'"
            )
        # Without `dequantize` the weights stay packed and every product unpacks them again.
        packed = {"gguf_file": spec.gguf, "quantization_config": GgufConfig(dequantize=True)}
    config = AutoConfig.from_pretrained(
        folder, trust_remote_code=False, local_files_only=True, gguf_file=spec.gguf
    )
    if spec.rope is not None:
        stretch(config, spec.rope)
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        folder,
        config=config,
        dtype=torch.float32 if spec.adapter else TENSOR_TYPES[spec.dtype],
        trust_remote_code=False,
        weights_only=True,
        local_files_only=True,
        attn_implementation=attention_of(config),
        **packed,
    )
    return model


def attention_of(config: PretrainedConfig) -> str:
    """torch's own where the architecture takes it: gpt-oss, with its sinks, does not."""
    kind = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    return "sdpa" if getattr(kind, "_supports_sdpa", True) else "eager"


def stretch(config: Any, rope: Rope) -> None:
    """Writes a context override into a model's configuration. Raises ValueError for a model whose
    positions are of another kind, or stretched already.

    What is trained stretched is exported with the same settings (`finetune_export.py`).
    """
    text = config.get_text_config()
    known = getattr(text, "rope_parameters", None) or {}
    if known.get("rope_type", "none") != "default":
        raise ValueError(
            f"`rope` stretches plain rotary positions, and this model's are "
            f"{known.get('rope_type', 'of another kind')!r}: leave it out"
        )
    before = _own_limit(config)
    text.rope_parameters = {
        **known,
        "rope_type": rope.kind,
        "factor": rope.factor,
        "original_max_position_embeddings": before,
    }
    text.max_position_embeddings = int(before * rope.factor)


def make_head(model: PreTrainedModel, num_ids: int) -> Head:
    """The output layer, cut to the tokenizer's ids."""
    output = model.get_output_embeddings()
    bias = getattr(output, "bias", None)
    return Head(
        output.weight[:num_ids].detach(),
        None if bias is None else bias[:num_ids].detach(),
        getattr(model.config, "final_logit_softcapping", None),
    )


@torch.inference_mode()
def _check_head(model: PreTrainedModel, decoder: PreTrainedModel, head: Head, num_ids: int) -> None:
    """Some architectures scale or shift logits after the head: then ours would be another model."""
    device = next(model.parameters()).device
    probe_BL = torch.arange(min(8, num_ids), device=device)[None]
    own_LV = model(input_ids=probe_BL).logits[0, :, :num_ids].float()
    ours_LV = head(decoder(input_ids=probe_BL).last_hidden_state[0])
    loose = 1e-3 if model.dtype == torch.float32 else 0.1
    if not torch.allclose(own_LV, ours_LV, rtol=loose, atol=loose):
        raise ValueError(
            f"{type(model).__name__} changes its logits after the output layer in a way that rdpt "
            "does not know: use another model"
        )


def _own_limit(config: object) -> int:
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    limit = getattr(text, "max_position_embeddings", None)
    if limit is None:
        raise ValueError(
            "the model's config.json states no max_position_embeddings: give `context = ...` in "
            "its entry"
        )
    return int(limit)
