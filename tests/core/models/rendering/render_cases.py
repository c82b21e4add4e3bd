"""Renderers for made-up templates and texts."""

from __future__ import annotations

from typing import Any

from tokenizers.processors import TemplateProcessing

from rdpt_core.models.rendering.render import Renderer, make_renderer
from rdpt_core.models.rendering.template import Template
from rdpt_core.models.rendering.vocabulary import Vocabulary
from rdpt_core.models.spec import ModelSpec
from rdpt_core.tables.rows import FinishReason
from tests.core.models import tiny

CHAT = ["<|im_start|>", "<|im_end|>"]


def with_template(source: str, control: list[str] = CHAT, bos: str = "", **fields: Any) -> Renderer:
    """A renderer whose tokenizer, if it has a `bos`, writes it before any text, as most do."""
    tokenizer = tiny.byte_level(control)
    if bos:
        first = [(bos, tokenizer.token_to_id(bos))]
        tokenizer.post_processor = TemplateProcessing(f"{bos} $A", f"{bos} $A $B", first)
    vocabulary = Vocabulary(tokenizer)
    special = {"eos_token": "<|im_end|>", "bos_token": bos}
    spec = ModelSpec.model_validate({"path": "x", **fields})
    return make_renderer(spec, vocabulary, Template(source, special, spec.variables))


def laid_text(of: Renderer, trace_text: str, delimiters: str = "<think>") -> str:
    trace = tiny.trace(trace_text, tiny.problem(), FinishReason.UNKNOWN, delimiters)
    return of.vocabulary.join(of.lay(tiny.problem(), trace).completion_ids).decode()
