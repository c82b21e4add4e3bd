"""Ids that prompts and delimiters need are among those of the weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from rdpt_core.models.files import stated_rows
from rdpt_core.models.loading.weights import load
from rdpt_core.models.rendering.render import read_renderer
from rdpt_core.models.rendering.special_ids import check_rows
from rdpt_core.models.spec import ModelSpec
from tests.core.models import tiny
from tests.core.models.loading.test_weights import with_more_ids


def test_a_prompt_that_needs_ids_that_weights_lack_is_refused(tmp_path: Path) -> None:
    with_more_ids(tmp_path / "more", "{% for m in messages %}{{ m.content }}<|most|>{% endfor %}")
    with pytest.raises(ValueError, match="its embeddings were not resized"):
        load(ModelSpec(path="more"), tmp_path, threads=1)


def test_delimiters_that_were_added_without_resizing_are_refused_with_their_ids(
    tmp_path: Path,
) -> None:
    """Found from config.json already, before any weights are read."""
    tokenizer = tiny.byte_level(["<|im_start|>", "<|im_end|>"])
    model = tiny.llama(tiny.size_of(tokenizer))
    tokenizer.add_tokens(["<think>", "</think>"])
    tiny.write_folder(tmp_path / "m", tokenizer, model, tiny.CHATML, {"eos_token": "<|im_end|>"})
    first = tiny.size_of(tokenizer) - 2
    named = rf"{first} \('<think>'\), {first + 1} \('</think>'\).* end at id {first - 1}"
    with pytest.raises(ValueError, match=named):
        load(ModelSpec(path="m"), tmp_path, threads=1)
    renderer = read_renderer(ModelSpec(path="m"), tmp_path / "m")
    with pytest.raises(ValueError, match="resize_token_embeddings"):
        check_rows(renderer, stated_rows(tmp_path / "m") or 0)
