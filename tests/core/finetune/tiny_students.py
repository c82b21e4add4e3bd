"""A model of some 20,000 weights and its training examples, for the tests of fine-tuning."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoTokenizer,
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from rdpt_core.finetune.recipe import Machine, TrainingRecipe
from rdpt_core.finetune.training import TrainingExample

RECIPE = TrainingRecipe(epochs=6, learning_rate=3e-3, global_batch=4, max_length=64)
MACHINE = Machine(device_batch=2, save_steps=3)
TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
NUM_STEPS = 18  # 10 examples in batches of 4, 4, 2; six epochs


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Qwen3, stored in bfloat16 as published models are."""
    folder = tmp_path_factory.mktemp("base")
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        ["Anna has three apples."],
        trainers.BpeTrainer(
            vocab_size=300, special_tokens=["<pad>", "<end>"], initial_alphabet=alphabet
        ),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<end>", pad_token="<pad>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(1)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=128,
        tie_word_embeddings=True,
    )
    model = Qwen3ForCausalLM(config).bfloat16()
    model.generation_config = GenerationConfig(eos_token_id=1, temperature=0.6, do_sample=True)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def examples(base: Path) -> list[TrainingExample]:
    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = []
    for number in range(10):
        prompt = tokenizer.encode(f"How much is {number} and {number}?\n")
        completion = [*tokenizer.encode(f"It is {2 * number}" + "!" * (number % 4)), 1]
        mask = [0] * len(prompt) + [1] * len(completion)
        rows.append(TrainingExample(f"trace-{number}", prompt + completion, mask))
    return rows
