"""The work list that every method scores: random traces for a random model of a real shape.

One word is one token, so that methods that take strings and methods that take ids read the same
tokens, and tokenizing costs nobody anything to speak of.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

SHORTEST, LONGEST = 200, 4000


@dataclass(frozen=True)
class Shape:
    """Shape of a Qwen3 model, with the vocabulary size of the real ones."""

    vocabulary: int = 151_936
    width: int = 256
    layers: int = 16
    seed: int = 0

    def config(self) -> Qwen3Config:
        return Qwen3Config(
            vocab_size=self.vocabulary,
            hidden_size=self.width,
            intermediate_size=3 * self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=max(2, self.width // 64),
            num_key_value_heads=max(1, self.width // 128),
            head_dim=64,
            max_position_embeddings=40_960,
            tie_word_embeddings=True,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=0,
        )


def write_model(shape: Shape, folder: Path, dtype: torch.dtype) -> None:
    """Weights that are bfloat16 numbers, stored as `dtype`, and the tokenizer."""
    torch.manual_seed(shape.seed)
    model = Qwen3ForCausalLM(shape.config()).to(torch.bfloat16).to(dtype)
    model.save_pretrained(folder)
    words = {f"w{index}": index for index in range(shape.vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="w0", pad_token="w0"
    ).save_pretrained(folder)


def traces(count: int, vocabulary: int, seed: int = 0) -> list[list[int]]:
    """Ids of `count` traces; lengths lognormal around 800, cut to 200 to 4,000 tokens."""
    source = random.Random(seed)
    lengths = [
        round(min(max(source.lognormvariate(math.log(800), 0.8), SHORTEST), LONGEST))
        for _ in range(count)
    ]
    return [[source.randrange(1, vocabulary) for _ in range(length)] for length in lengths]


def as_text(ids: list[int]) -> str:
    return " ".join(f"w{index}" for index in ids)
