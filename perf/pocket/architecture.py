"""The shapes of the two models: Qwen3 as `transformers` has it, made small."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from perf.pocket.corpus import Role
from perf.pocket.vocabulary import MAX_POSITIONS

SHAPES: dict[Role, dict[str, Any]] = {
    # 6.1 million parameters
    "teacher": {
        "hidden_size": 320,
        "intermediate_size": 896,
        "num_hidden_layers": 5,
        "num_attention_heads": 10,
        "num_key_value_heads": 5,
    },
    # 1.5 million parameters
    "student": {
        "hidden_size": 160,
        "intermediate_size": 480,
        "num_hidden_layers": 4,
        "num_attention_heads": 5,
        "num_key_value_heads": 5,
    },
}


def new_model(role: Role, tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """Float32 weights from a fixed seed; exported models are bfloat16."""
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        head_dim=32,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        initializer_range=0.02,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **SHAPES[role],
    )
    torch.manual_seed(0)
    return Qwen3ForCausalLM(config)
