"""Tiny models with their own tokenizers and templates, fast to create and full of traps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen3Config
from transformers import Qwen3ForCausalLM as Qwen3

from rdpt_core.tables.rows import FinishReason, Problem, Trace
from rdpt_core.text.delimiters import named_delimiters

CORPUS = [
    "Ann has 12 apples and buys 30 more. How many apples does she have now?",
    "First I add 12 and 30. 12 + 30 = 42. So the answer is 42.",
    "Let us check: 42 - 30 = 12, which is right.\n\nThe answer is 42.",
    "Tom reads 7 pages a day for 6 days. 7 * 6 = 42 pages in all.\n",
    "naïve café – 數學 🙂 e\u0301",
]

CHATML = """{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.role == 'assistant' and '</think>' in m.content %}{{ m.content.split('</think>')[-1] }}\
{% elif m.role == 'assistant' and m.reasoning_content is defined %}<think>
{{ m.reasoning_content }}
</think>

{{ m.content }}{% else %}{{ m.content }}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
"""The tag is in the trace; a thought inside `content` is dropped."""

PROMPT_OPENS = """{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}\
[Q]{{ m.content }}[A]\
{% elif m.role == 'assistant' %}{{ m.content.split('</think>')[-1] }}<|end|>\
{% else %}{{ m.content }}{% endif %}{% endfor %}{% if add_generation_prompt %}<think>
{% endif %}"""
"""The tag is in the prompt."""

PLAIN = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}"
"""No delimiters at all."""


def byte_level(control: list[str], words: list[str] = CORPUS, size: int = 330) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    pattern = r" ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(words, trainer)
    tokenizer.add_tokens([AddedToken(text, special="think" not in text) for text in control])
    return tokenizer


def sentence_piece(control: list[str]) -> Tokenizer:
    """A tokenizer in SentencePiece's style: a dummy space prefix, and byte fallback."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    first = ["<unk>", *control, *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=len(first) + 120, special_tokens=first, show_progress=False, limit_alphabet=60
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    spec = json.loads(tokenizer.to_str())
    named = {"<unk>", *control}
    spec["added_tokens"] = [item for item in spec["added_tokens"] if item["content"] in named]
    return Tokenizer.from_str(json.dumps(spec))


def write_folder(
    folder: Path,
    tokenizer: Tokenizer,
    model: PreTrainedModel,
    template: str | None,
    special: dict[str, str],
) -> Path:
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    return folder


SIZE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
}


def qwen(vocabulary: int, seed: int = 0) -> PreTrainedModel:
    """A Qwen3 whose weights have 13 ids more than the tokenizer, as in published models."""
    torch.manual_seed(seed)
    return Qwen3(Qwen3Config(vocab_size=vocabulary + 13, head_dim=8, eos_token_id=None, **SIZE))


def sliding(tokenizer: Tokenizer) -> PreTrainedModel:
    """A model whose first layer attends to everything, its second to the last 6 tokens."""
    torch.manual_seed(2)
    config = Qwen3Config(
        vocab_size=size_of(tokenizer),
        head_dim=8,
        eos_token_id=None,
        use_sliding_window=True,
        sliding_window=6,
        max_window_layers=1,
        **SIZE,
    )
    return Qwen3(config)


def llama(vocabulary: int, seed: int = 1) -> PreTrainedModel:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=vocabulary, bos_token_id=None, eos_token_id=None, **SIZE)
    )


def size_of(tokenizer: Tokenizer) -> int:
    return max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1


def make_qwen(folder: Path, template: str | None = CHATML, seed: int = 0) -> Path:
    """Byte-level BPE, ChatML, the thought's tag in the trace."""
    tokenizer = byte_level(["<|im_start|>", "<|im_end|>", "<think>", "</think>"])
    special = {"eos_token": "<|im_end|>"}
    return write_folder(folder, tokenizer, qwen(size_of(tokenizer), seed), template, special)


def make_llama(folder: Path, template: str | None = PROMPT_OPENS) -> Path:
    """SentencePiece, the tag in the prompt, a BOS that the template writes."""
    tokenizer = sentence_piece(["<s>", "<|end|>"])
    special = {"bos_token": "<s>", "eos_token": "<|end|>"}
    return write_folder(folder, tokenizer, llama(size_of(tokenizer)), template, special)


def problem(text: str = "Ann has 12 apples and buys 30 more. How many?") -> Problem:
    return Problem(f"p-{text}", "tiny", "train", "maths", text, "42")


def trace(
    text: str,
    of: Problem,
    finish: FinishReason = FinishReason.UNKNOWN,
    delimiters: str = "<think>",
) -> Trace:
    """An imported trace: no sampled ids."""
    zones = named_delimiters(delimiters).zones(text)
    return Trace(
        trace_id=f"t-{text}-{finish}",
        problem_id=of.problem_id,
        author="somebody",
        sample_index=0,
        text=text,
        zones=zones,
        finish_reason=finish,
        num_tokens=None,
        token_ids=None,
        logprobs=None,
        sampled_logprobs=None,
        seed=None,
        source_id=None,
    )


THINKING = "<think>\nFirst I add 12 and 30.\n12 + 30 = 42.\n</think>\n\nThe answer is 42."
