"""Real tokenizers, chat templates and traces, if DATA_FOR_RDPT_TESTS names a folder with them.

The folder holds `tokenizers/NAME/`, `tokenizers/token_vectors.jsonl`, `chat_templates/*.jinja`,
`traces/*.jsonl`, `benchmarks/*.jsonl` and `answer_checks/*.jsonl`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from rdpt_core.models.rendering.render import Renderer, make_renderer
from rdpt_core.models.rendering.template import Template
from rdpt_core.models.rendering.tokenizer_files import read_vocabulary
from rdpt_core.models.rendering.vocabulary import Vocabulary
from rdpt_core.models.spec import ModelSpec

VARIABLE = "DATA_FOR_RDPT_TESTS"
FOLDER = Path(os.environ.get(VARIABLE) or "none")
needed = pytest.mark.skipif(
    not (FOLDER / "tokenizers").is_dir(), reason=f"{VARIABLE} names no folder with real data"
)
TOKENIZERS = ("qwen2.5", "qwen3", "gpt-oss", "mistral-7b-v0.3")

R1_TOKENS = (
    ("<\uff5cend\u2581of\u2581sentence\uff5c>", True),
    ("<\uff5cUser\uff5c>", False),
    ("<\uff5cAssistant\uff5c>", False),
    ("<\uff5cbegin\u2581of\u2581sentence\uff5c>", True),
    ("<|EOT|>", False),
    ("<think>", False),
    ("</think>", False),
)
"""The R1 distills' replacements for Qwen2.5's first added tokens; True if special."""

TEMPLATES = {
    "qwen2.5": ("qwen2.5", "Qwen-Qwen2.5-7B-Instruct"),
    "qwen3": ("qwen3", "Qwen-Qwen3-0.6B"),
    "qwq": ("qwen3", "Qwen-QwQ-32B"),
    "r1-distill": ("r1-distill", "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B"),
    "gpt-oss": ("gpt-oss", "openai-gpt-oss-120b"),
    "mistral": ("mistral-7b-v0.3", None),
    "nemo": ("mistral-7b-v0.3", "mistralai-Mistral-Nemo-Instruct-2407"),
}
"""Family to tokenizer and template file; None uses the template in the tokenizer's config."""


@cache
def vocabulary(name: str) -> Vocabulary:
    return _r1_distill() if name == "r1-distill" else read_vocabulary(folder(name))


def folder(name: str) -> Path:
    return FOLDER / "tokenizers" / name


def _r1_distill() -> Vocabulary:
    """Qwen2.5's vocabulary with the control tokens of the distills, which prepend a BOS."""
    spec = json.loads((folder("qwen2.5") / "tokenizer.json").read_text())
    for item, (content, special) in zip(spec["added_tokens"], R1_TOKENS, strict=False):
        item |= {"content": content, "special": special}
    bos, eos = R1_TOKENS[3][0], R1_TOKENS[0][0]
    spec["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": bos, "type_id": 0}}, _sequence("A")],
        "pair": [_sequence("A"), _sequence("B")],
        "special_tokens": {
            bos: {"id": bos, "ids": [spec["added_tokens"][3]["id"]], "tokens": [bos]}
        },
    }
    backend = Tokenizer.from_str(json.dumps(spec))
    return Vocabulary(backend, {"bos_token": bos, "eos_token": eos})


def _sequence(name: str) -> dict[str, Any]:
    return {"Sequence": {"id": name, "type_id": 0}}


def template_source(family: str) -> str:
    tokenizer, file = TEMPLATES[family]
    if file is not None:
        return (FOLDER / "chat_templates" / f"{file}.jinja").read_text(encoding="utf-8")
    config = json.loads((folder(tokenizer) / "tokenizer_config.json").read_text())
    return str(config["chat_template"])


def renderer(family: str, think: bool | None = None, **fields: Any) -> Renderer:
    known = vocabulary(TEMPLATES[family][0])
    spec = ModelSpec.model_validate({"path": family, "think": think, **fields})
    return make_renderer(
        spec, known, Template(template_source(family), known.special, spec.variables)
    )


def base(tokenizer: str) -> Renderer:
    """A model without a template."""
    return make_renderer(ModelSpec(path=tokenizer), vocabulary(tokenizer), None)


def backend(name: str) -> Tokenizer:
    """The tokenizer as its authors published it."""
    return Tokenizer.from_file(str(folder(name) / "tokenizer.json"))


def vectors() -> list[dict[str, Any]]:
    return rows("tokenizers/token_vectors.jsonl")


def rows(name: str) -> list[dict[str, Any]]:
    """The objects of a file of the folder."""
    lines = (FOLDER / name).read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def traces() -> Iterator[str]:
    for path in sorted((FOLDER / "traces").glob("*.jsonl")):
        with path.open(encoding="utf-8") as file:
            for line in file:
                yield str(json.loads(line)["trace"])
