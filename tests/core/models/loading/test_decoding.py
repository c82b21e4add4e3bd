"""Sampling: each sample has randomness of its own, and what is recorded is what happened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rdpt_core.models.loading.decoding import sample_batch
from rdpt_core.models.loading.hf import HfGenerator
from rdpt_core.models.loading.weights import LoadedModel, load, make_head
from rdpt_core.models.spec import ModelSpec, Sampling
from tests.core.models import tiny

PROBLEMS = [
    tiny.problem("How many?"),
    tiny.problem("Ann has 12 apples and buys 30 more. How many apples does she have now?"),
    tiny.problem("Tom reads 7 pages a day."),
]


@pytest.fixture(scope="module")
def qwen(models: Path) -> LoadedModel:
    return load(ModelSpec(path="qwen"), models, threads=1)


def reference(loaded: LoadedModel, prompt: list[int], ids: list[int]) -> torch.Tensor:
    """Log-probabilities by one float64 forward per token, no cache; shape [tokens, ids]."""
    model = loaded.model.double()
    rows = []
    for stop in range(len(ids)):
        seen = torch.tensor([prompt + ids[:stop]])
        logits = model(input_ids=seen, use_cache=False).logits[0, -1]
        rows.append(logits[: loaded.renderer.vocabulary.size].log_softmax(-1))
    loaded.model.float()
    return torch.stack(rows)


def test_a_batch_sampled_again_gives_the_same_texts(qwen: LoadedModel) -> None:
    def texts(seed: int, index: int) -> list[str]:
        generator = HfGenerator(qwen, Sampling(max_new_tokens=24), seed)
        return [trace.text for trace in generator.generate(PROBLEMS, index)]

    assert texts(7, 0) == texts(7, 0)
    assert texts(7, 0) != texts(7, 1)
    assert texts(7, 0) != texts(8, 0)


@torch.inference_mode()
def test_recorded_logprobs_are_raw_and_padding_moves_nothing(qwen: LoadedModel) -> None:
    for trace, problem in zip(
        HfGenerator(qwen, Sampling(max_new_tokens=12), 3).generate(PROBLEMS, 0),
        PROBLEMS,
        strict=True,
    ):
        assert trace.token_ids is not None
        assert trace.logprobs is not None
        assert trace.sampled_logprobs is None
        ids = trace.token_ids.tolist()
        wanted = reference(qwen, qwen.renderer.prompt_ids(problem), ids)
        wanted_of_ids = wanted[torch.arange(len(ids)), torch.tensor(ids)].numpy()
        np.testing.assert_allclose(trace.logprobs, wanted_of_ids, atol=1e-4)


@torch.inference_mode()
def test_t26_processed_logprobs_are_kept_apart(qwen: LoadedModel) -> None:
    rule = Sampling(max_new_tokens=10, temperature=0.7, top_p=0.8)
    trace = HfGenerator(qwen, rule, 3).generate(PROBLEMS[:1], 0)[0]
    assert trace.token_ids is not None
    assert trace.sampled_logprobs is not None
    assert trace.logprobs is not None
    ids = trace.token_ids.tolist()
    raw = reference(qwen, qwen.renderer.prompt_ids(PROBLEMS[0]), ids)
    for row, token_id, kept, recorded in zip(
        raw, ids, trace.sampled_logprobs, trace.logprobs, strict=True
    ):
        p = (row / 0.7).softmax(-1)
        order = p.argsort(descending=True)
        held = p[order].cumsum(0)
        nucleus = order[: int((held < 0.8).sum()) + 1].tolist()
        assert token_id in nucleus, "nothing outside the nucleus is drawn"
        assert kept == pytest.approx(float((p[token_id] / p[nucleus].sum()).log()), abs=1e-4)
        assert recorded == pytest.approx(float(row[token_id]), abs=1e-4)


@torch.inference_mode()
def test_temperature_zero_takes_the_likeliest(qwen: LoadedModel) -> None:
    rule = Sampling(max_new_tokens=8, temperature=0.0)
    trace = HfGenerator(qwen, rule, 3).generate(PROBLEMS[1:2], 0)[0]
    assert trace.token_ids is not None
    assert trace.sampled_logprobs is not None
    raw = reference(qwen, qwen.renderer.prompt_ids(PROBLEMS[1]), trace.token_ids.tolist())
    assert trace.token_ids.tolist() == raw.argmax(-1).tolist()
    assert not trace.sampled_logprobs.any()


HYBRID: dict[str, dict[str, Any]] = {
    "qwen3": {},
    "qwen3_5_text": {
        "layer_types": ["linear_attention", "full_attention"],
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 2,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "linear_conv_kernel_dim": 4,
    },
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "gemma3_text": {
        "layer_types": ["sliding_attention", "full_attention"],
        "sliding_window": 4,
        "query_pre_attn_scalar": 8,
    },
    "qwen3_moe": {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
}
"""Recurrent, convolutional, windowed and sparse layers."""


@pytest.mark.parametrize("architecture", HYBRID)
def test_t21_a_row_of_a_batch_is_sampled_as_it_is_alone(architecture: str) -> None:
    """Prompts of several lengths, and rows that leave the batch early: the cache of a convolution
    could not drop a row."""
    torch.manual_seed(4)
    config = AutoConfig.for_model(
        architecture, vocab_size=60, head_dim=8, **tiny.SIZE, **HYBRID[architecture]
    )
    model = AutoModelForCausalLM.from_config(config).eval()
    head = make_head(model, 60)
    prompts = [[5, 6, 7], [8, 9, 10, 11, 12, 13, 14], [15]]
    rule, seeds, budgets = Sampling(), [1, 2, 3], [3, 24, 16]
    decoder = model.get_decoder()
    together = sample_batch(decoder, head, prompts, seeds, budgets, rule, ends=())
    for prompt, seed, budget, sample in zip(prompts, seeds, budgets, together, strict=True):
        (alone,) = sample_batch(decoder, head, [prompt], [seed], [budget], rule, ends=())
        assert sample.token_ids == alone.token_ids
        assert sample.logprobs == pytest.approx(alone.logprobs, abs=1e-4)


def test_tokens_come_as_often_as_their_probability_says(qwen: LoadedModel) -> None:
    prompt = qwen.renderer.prompt_ids(PROBLEMS[0])
    num = 3000
    drawn = sample_batch(
        qwen.decoder,
        qwen.head,
        [prompt] * num,
        list(range(num)),
        [1] * num,
        Sampling(max_new_tokens=1),
        ends=(),
    )
    counts = np.bincount(
        [one.token_ids[0] for one in drawn], minlength=qwen.renderer.vocabulary.size
    )
    with torch.inference_mode():
        hidden = qwen.decoder(input_ids=torch.tensor([prompt])).last_hidden_state[0, -1:]
        p = qwen.head(hidden)[0].softmax(-1).double().numpy()
    expected = num * p
    common = expected > 5
    chi = ((counts[common] - expected[common]) ** 2 / expected[common]).sum()
    # Mean and variance of chi squared: k and 2k; five deviations never fail by chance.
    assert chi < common.sum() + 5 * np.sqrt(2 * common.sum())


def test_rows_that_end_leave_and_the_others_go_on(qwen: LoadedModel) -> None:
    often = set(range(0, qwen.renderer.vocabulary.size, 12))
    prompts = [qwen.renderer.prompt_ids(PROBLEMS[index % 3]) for index in range(12)]

    def run(rows: list[int]) -> list[list[int]]:
        drawn = sample_batch(
            qwen.decoder,
            qwen.head,
            [prompts[row] for row in rows],
            [100 + row for row in rows],
            [30] * len(rows),
            Sampling(max_new_tokens=30),
            ends=often,
        )
        for one in drawn:
            ended = [index for index, token in enumerate(one.token_ids) if token in often]
            assert ended == ([len(one.token_ids) - 1] if one.stopped else [])
        return [one.token_ids for one in drawn]

    together = run(list(range(12)))
    assert len({len(ids) for ids in together}) > 3, "they end at different times"
    assert together == [run([row])[0] for row in range(12)]


@torch.inference_mode()
def test_a_sliding_window_is_kept_under_padding_and_cuts(tmp_path: Path) -> None:
    tokenizer = tiny.byte_level(["<|im_start|>", "<|im_end|>"])
    folder = tmp_path / "sliding"
    special = {"eos_token": "<|im_end|>"}
    tiny.write_folder(folder, tokenizer, tiny.sliding(tokenizer), tiny.PLAIN, special)
    loaded = load(ModelSpec(path="sliding"), tmp_path, threads=1)
    often = frozenset(range(0, loaded.renderer.vocabulary.size, 9))
    generator = HfGenerator(replace(loaded, ends=often), Sampling(max_new_tokens=20), 5)
    traces = generator.generate(PROBLEMS, 0)
    assert len({trace.num_tokens for trace in traces}) > 1
    for trace, problem in zip(traces, PROBLEMS, strict=True):
        assert trace.token_ids is not None
        assert trace.logprobs is not None
        ids = trace.token_ids.tolist()
        wanted = reference(loaded, loaded.renderer.prompt_ids(problem), ids)
        np.testing.assert_allclose(
            trace.logprobs, wanted[torch.arange(len(ids)), torch.tensor(ids)], atol=1e-4
        )
