"""A tiny Llama as a GGUF file, in the layout of llama.cpp's own converter."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from tests.core.models.loading.qwen_gguf import finish, tensor_name


def write_gguf(model: PreTrainedModel, tokenizer: Tokenizer, end: str, path: Path) -> None:
    """Writes float32 weights and a byte-level BPE."""
    writer = gguf.GGUFWriter(path, "llama")
    _write_shape(writer, model)
    _write_tokenizer(writer, tokenizer, end)
    for name, tensor in model.state_dict().items():
        writer.add_tensor(tensor_name(name), _laid(name, tensor, model).numpy())
    finish(writer)


def _write_shape(writer: gguf.GGUFWriter, model: PreTrainedModel) -> None:
    config = model.config
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)


def _write_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer, end: str) -> None:
    spec = json.loads(tokenizer.to_str())
    added = {item["id"]: item["content"] for item in spec["added_tokens"]}
    tokens = dict(sorted({v: k for k, v in spec["model"]["vocab"].items()}.items())) | added
    kinds = [gguf.TokenType.CONTROL if i in added else gguf.TokenType.NORMAL for i in tokens]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(list(tokens.values()))
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in spec["model"]["merges"]])
    number = int(tokenizer.token_to_id(end) or 0)
    writer.add_eos_token_id(number)
    writer.add_bos_token_id(number)


def _laid(name: str, tensor: torch.Tensor, model: PreTrainedModel) -> torch.Tensor:
    """A tensor in llama.cpp's layout: it rotates pairs of neighbours, transformers halves of a
    head."""
    heads = {
        "q_proj": model.config.num_attention_heads,
        "k_proj": model.config.num_key_value_heads,
    }
    for kind, number in heads.items():
        if kind in name:
            halves = tensor.reshape(number, 2, -1, tensor.shape[1])
            return halves.swapaxes(1, 2).reshape(tensor.shape).contiguous()
    return tensor.contiguous()
