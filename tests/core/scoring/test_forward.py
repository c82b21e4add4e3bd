"""The forward pass of scoring against each architecture's own, one trace at a time in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GptOssConfig,
    GptOssForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    NemotronConfig,
    NemotronForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from rdpt_core.models.loading.head import Head
from rdpt_core.provenance.labels import LabelRule, label
from rdpt_core.scoring import attention
from rdpt_core.scoring.entries import Statistics
from rdpt_core.scoring.forward import Forward, TokenSequence, keeps_apart

SMALL: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS: dict[str, Any] = {"num_experts_per_tok": 2, "head_dim": 8}
MODELS: dict[str, Callable[[], Any]] = {
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SMALL)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SMALL, head_dim=8)),
    "qwen3-moe": lambda: Qwen3MoeForCausalLM(
        Qwen3MoeConfig(**SMALL, **EXPERTS, num_experts=4, moe_intermediate_size=16)
    ),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SMALL)),
    "mistral, its window shorter than the traces": lambda: MistralForCausalLM(
        MistralConfig(**SMALL, sliding_window=5)
    ),
    "gpt-oss, with sinks and windows": lambda: GptOssForCausalLM(
        GptOssConfig(**SMALL, **EXPERTS, num_local_experts=4, sliding_window=6)
    ),
    "gemma2, with capped scores and logits": lambda: Gemma2ForCausalLM(
        Gemma2Config(
            **SMALL,
            head_dim=8,
            sliding_window=7,
            attn_logit_softcapping=2.0,
            final_logit_softcapping=3.0,
            query_pre_attn_scalar=8,
        )
    ),
    "deepseek, with values narrower than keys": lambda: DeepseekV3ForCausalLM(
        DeepseekV3Config(
            **SMALL | {"num_key_value_heads": 4},
            q_lora_rank=16,
            kv_lora_rank=16,
            qk_rope_head_dim=4,
            qk_nope_head_dim=8,
            v_head_dim=6,
            first_k_dense_replace=2,
            n_routed_experts=8,
            n_group=2,
            topk_group=1,
        )
    ),
}
LENGTHS = (2, 41, 7, 23, 12, 3)


@pytest.fixture(params=MODELS, scope="module")
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    torch.manual_seed(5)
    model: PreTrainedModel = MODELS[request.param]().eval().requires_grad_(False)
    return model


def laid(seed: int = 0) -> dict[int, TokenSequence]:
    draw = np.random.default_rng(seed)
    return {
        index: TokenSequence(
            draw.integers(3, SMALL["vocab_size"], length).tolist(), start=1 + length // 3
        )
        for index, length in enumerate(LENGTHS)
    }


def forward(model: PreTrainedModel, pack_tokens: int, chunked: bool = False) -> Forward:
    cap = getattr(model.config, "final_logit_softcapping", None)
    head = Head(model.get_output_embeddings().weight.detach(), None, cap)
    return Forward(model.get_decoder(), head, pack_tokens, chunked=chunked)


def found(model: PreTrainedModel, pack_tokens: int, chunked: bool = False) -> dict[int, Statistics]:
    reader = forward(model, pack_tokens, chunked)
    results = {one.index: one.statistics for one in reader.run(laid())}
    assert all(results.values())
    return {index: one for index, one in results.items() if one}


@torch.inference_mode()
def reference(
    model: PreTrainedModel, one: TokenSequence
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-probabilities, entropies and sums of squares by the model's own forward in float64."""
    model.config._experts_implementation, before = "eager", model.config._experts_implementation
    logits = model.double()(input_ids=torch.tensor([one.ids]), use_cache=False).logits[0]
    model.float().config._experts_implementation = before  # the faster one knows no float64
    logprobs = logits[one.start - 1 : -1].double().log_softmax(-1)
    targets = torch.tensor(one.ids[one.start :])
    p = logprobs.exp()
    picked = logprobs.gather(1, targets[:, None])[:, 0]
    return picked.numpy(), -(p * logprobs).sum(1).numpy(), p.square().sum(1).numpy()


@pytest.mark.parametrize("pack_tokens", [1000, 50, 20])
def test_t11_a_pack_holds_what_each_trace_has_alone(
    model: PreTrainedModel, pack_tokens: int
) -> None:
    assert forward(model, pack_tokens).can_pack
    results = found(model, pack_tokens)
    for index, one in laid().items():
        logprobs, entropies, squares = reference(model, one)
        np.testing.assert_allclose(results[index].logprobs, logprobs, atol=1e-4)
        np.testing.assert_allclose(results[index].entropies, entropies, rtol=2e-3, atol=1e-3)
        np.testing.assert_allclose(results[index].sum_squares, squares, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("chunk", [5, 16, 40])
def test_t33_a_long_trace_is_read_in_chunks_to_the_same_end(
    model: PreTrainedModel, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "QUERIES", 3)
    whole, chunked = found(model, 1000), found(model, chunk, chunked=True)
    for index in laid():
        np.testing.assert_allclose(whole[index].logprobs, chunked[index].logprobs, atol=1e-5)
        np.testing.assert_array_equal(whole[index].ranks, chunked[index].ranks)


def test_a_long_trace_is_one_pass_and_leaves_no_cache(model: PreTrainedModel) -> None:
    reader, passes = forward(model, 20), []

    def seen(_: Any, __: Any, kwargs: dict[str, Any]) -> None:
        passes.append((kwargs["input_ids"].shape[1], kwargs["use_cache"]))

    hook = reader.decoder.register_forward_pre_hook(seen, with_kwargs=True)
    assert reader.can_pack
    passes.clear()
    list(reader.run(laid()))
    hook.remove()
    assert passes == [(41, False), (23, False), (19, False), (5, False)]


def test_an_architecture_that_cannot_be_packed_is_read_alone() -> None:
    torch.manual_seed(5)
    scaled = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    model = LlamaForCausalLM(LlamaConfig(**SMALL, rope_parameters=scaled)).eval()
    assert not forward(model, 1000).can_pack
    for index, one in found(model, 1000).items():
        np.testing.assert_allclose(one.logprobs, reference(model, laid()[index])[0], atol=1e-4)


def test_t32_an_architecture_that_hands_no_edges_on_is_found_out_and_read_alone() -> None:
    """Nemotron says that it takes an attention function, and calls its own without arguments."""
    torch.manual_seed(5)
    model = NemotronForCausalLM(NemotronConfig(**SMALL)).eval().requires_grad_(False)
    assert model.get_decoder()._supports_attention_backend
    assert not keeps_apart(model.get_decoder())
    for index, one in found(model, 1000).items():
        np.testing.assert_allclose(one.logprobs, reference(model, laid()[index])[0], atol=1e-4)


def test_a_trace_too_much_at_once_is_read_in_smaller_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(5)
    model = MODELS["qwen3"]().eval().requires_grad_(False)
    one = TokenSequence(np.random.default_rng(0).integers(3, 97, 700).tolist(), 1)
    (wanted,) = forward(model, 1000).run({0: one})
    read = Forward._read_in_chunks

    def small_machine(self: Forward, pack: object) -> list[Statistics]:
        raise MemoryError

    tried = []

    def chunks(self: Forward, one: TokenSequence, chunk: int) -> Statistics:
        tried.append(chunk)
        if chunk > 200:
            raise MemoryError
        return read(self, one, chunk)

    monkeypatch.setattr(Forward, "_read_pack", small_machine)
    monkeypatch.setattr(Forward, "_read_in_chunks", chunks)
    (result,) = forward(model, 600).run({0: one})
    assert result.split
    assert tried == [350, 175]
    assert wanted.statistics is not None
    assert result.statistics is not None
    np.testing.assert_allclose(result.statistics.logprobs, wanted.statistics.logprobs, atol=1e-5)


@pytest.mark.fault("F32")
def test_t33_chunks_of_a_32k_trace_are_one_shot() -> None:
    """Each chunk sees all that was before, so no label moves: here those of single tokens, beside
    a student that gives every id the same probability."""
    torch.manual_seed(0)
    one_head = {"num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 32}
    long = {"num_hidden_layers": 1, "initializer_range": 0.9, "max_position_embeddings": 40_960}
    model = Qwen3ForCausalLM(Qwen3Config(**SMALL | one_head | long)).eval()
    head, ids = Head(model.lm_head.weight.detach()), torch.randint(97, (32_768,)).tolist()
    found = []
    for chunked in (True, False):
        reader = Forward(model.get_decoder(), head, 2048, chunked=chunked)
        (one,) = reader.run({0: TokenSequence(ids, 1)})
        assert one.statistics is not None
        found.append(one.statistics.logprobs.astype(np.float64))
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)
    labels = [label(np.exp(p), np.full(len(p), 1 / 97), None, LabelRule()).label for p in found]
    assert len(set(labels[1].tolist())) == 2
    np.testing.assert_array_equal(labels[0], labels[1])
