"""Real architectures under real tokenizers and templates, with small random weights: what a model
samples it scores alike, and its scores of a real text are those of transformers' own forward."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GptOssConfig,
    GptOssForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from rdpt_core.models.loading.hf import HfGenerator
from rdpt_core.models.loading.weights import LoadedModel, load
from rdpt_core.models.spec import ModelSpec, Sampling
from rdpt_core.scoring.hf import HfScorer
from rdpt_core.tables.rows import ScoreStatus
from tests.core.models import tiny
from tests.real import data

pytestmark = data.needed

SIZE: dict[str, Any] = {
    **tiny.SIZE,
    "head_dim": 8,
    "max_position_embeddings": 2048,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
EXPERTS: dict[str, Any] = {"num_experts_per_tok": 2, "num_local_experts": 4, "num_experts": 4}
SHAPES: dict[str, tuple[str, Callable[[int], PreTrainedModel]]] = {
    "qwen3-moe": (
        "qwen3",
        lambda ids: Qwen3MoeForCausalLM(
            Qwen3MoeConfig(vocab_size=ids, moe_intermediate_size=16, **EXPERTS, **SIZE)
        ),
    ),
    "gpt-oss": (
        "gpt-oss",
        lambda ids: GptOssForCausalLM(
            GptOssConfig(vocab_size=ids, sliding_window=32, **EXPERTS, **SIZE)
        ),
    ),
    "llama": ("qwq", lambda ids: LlamaForCausalLM(LlamaConfig(vocab_size=ids, **SIZE))),
    "mistral": (
        "mistral",
        lambda ids: MistralForCausalLM(MistralConfig(vocab_size=ids, sliding_window=64, **SIZE)),
    ),
}
PROBLEMS = [tiny.problem(f"Ann has {n} apples and buys 30 more. How many?") for n in (12, 7)]


@pytest.fixture(scope="module", params=SHAPES)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    family, make = SHAPES[request.param]
    tokenizer = data.TEMPLATES[family][0]
    folder: Path = tmp_path_factory.mktemp("shapes") / request.param
    torch.manual_seed(0)
    make(data.vocabulary(tokenizer).size + 13).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(data.folder(tokenizer) / name, folder / name)
    (folder / "chat_template.jinja").write_text(data.template_source(family), encoding="utf-8")
    return load(ModelSpec(path=str(folder)), Path(), threads=1)


def test_what_it_samples_it_scores_alike(loaded: LoadedModel) -> None:
    traces = HfGenerator(loaded, Sampling(max_new_tokens=40), seed=1).generate(PROBLEMS, 0)
    for trace, row in zip(traces, HfScorer(loaded).score(PROBLEMS, traces), strict=True):
        assert row.status is ScoreStatus.OK
        if row.retokenized:  # random ids are often no UTF-8, and then not the text's
            continue
        assert trace.logprobs is not None
        counted = ~np.isnan(row.logprobs)
        assert row.logprobs[counted] == pytest.approx(trace.logprobs[: counted.sum()], abs=1e-4)


def test_a_real_text_has_the_numbers_of_a_plain_forward(loaded: LoadedModel) -> None:
    """In one piece behind the prompt, as `rdpt score` reads it, longer than every window."""
    text = next(islice(data.traces(), 3, None))[:1500]
    trace = tiny.trace(text, PROBLEMS[0], delimiters="none")
    (row,) = HfScorer(loaded, alone=True).score(PROBLEMS, [trace])
    assert row.status is ScoreStatus.OK
    layout = loaded.renderer.lay_alone(PROBLEMS[0], trace)
    model = AutoModelForCausalLM.from_pretrained(loaded.renderer.path, dtype=torch.float32)
    with torch.inference_mode():
        logits = model(torch.tensor([layout.input_ids])).logits[0]
    ids = layout.completion_ids
    rows = logits[-len(ids) - 1 : -1, : loaded.renderer.vocabulary.size].double().log_softmax(-1)
    wanted = rows.gather(1, torch.tensor(ids)[:, None])[:, 0].numpy()
    np.testing.assert_allclose(row.logprobs, wanted, atol=1e-4)
