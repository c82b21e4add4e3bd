"""Linear layers of bfloat16 numbers that are multiplied in float32."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import grouped_mm, linear
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GptOssConfig,
    GptOssForCausalLM,
    PreTrainedModel,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from rdpt_core.models.loading import products
from rdpt_core.models.loading.hf import HfGenerator
from rdpt_core.models.loading.products import FEW, InFloat32, linear_in_float32, quick_products
from rdpt_core.models.loading.weights import load
from rdpt_core.models.spec import ModelSpec, Sampling
from rdpt_core.scoring.hf import HfScorer
from rdpt_core.tables.rows import TokenScores
from tests.core.models import tiny


@pytest.mark.parametrize("bias", [True, False])
def test_only_the_sum_is_rounded(bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most by half of a bfloat16 number's last place, 2^-8 of it, however it is cut."""
    torch.manual_seed(0)
    monkeypatch.setattr(products, "POSITIONS", 3)
    monkeypatch.setattr(products, "OUTPUTS", 5)
    input, weight, added = torch.randn(2, 4, 70), torch.randn(12, 70), torch.randn(12)
    some = [one.bfloat16() for one in (input, weight, added)[: 3 if bias else 2]]
    found = linear_in_float32(*some)
    wanted = linear(*[one.double() for one in some])
    assert found.dtype == torch.bfloat16
    assert found.shape == (2, 4, 12)
    np.testing.assert_allclose(found.double(), wanted, rtol=2**-8, atol=1e-5)


def test_other_numbers_and_other_operations_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    monkeypatch.setattr(products, "_linear_in_float32", lambda *_, **__: calls.append(0))
    one, other = torch.randn(4, 6), torch.randn(5, 6)
    with InFloat32():
        linear(one, other)
        linear(one[:3].bfloat16(), other.bfloat16())  # too few rows to gain
        one @ other.T
        one.bfloat16() @ other.bfloat16()[0]
        with pytest.raises(RuntimeError, match="same dtype"):
            linear(one.bfloat16(), other)
        assert not calls
        linear(input=one.bfloat16(), weight=other.bfloat16())
    assert calls


def as_a_linear_layer(one: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return linear(one[0], weight[0].mT)


def as_gpt2_writes_it(one: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.addmm(torch.zeros(8, dtype=one.dtype), one[0], weight[0])


def as_one_expert(one: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return one[0] @ weight[0]


def as_a_batch(one: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.bmm(one, weight)


def as_attention(one: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.matmul(one[None], weight[None])


def as_groups(one: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Groups of 5, 0 and 11 rows."""
    offs = torch.tensor([5, 5, 16], dtype=torch.int32)
    return grouped_mm(one.reshape(-1, 64)[:16], weight[:3], offs=offs)


@pytest.mark.parametrize(
    "product",
    [
        as_a_linear_layer,
        as_gpt2_writes_it,
        as_one_expert,
        as_a_batch,
        as_attention,
        as_groups,
    ],
)
def test_every_way_of_writing_a_product_is_taken(
    product: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Off by the rounding of its sum alone, and none of it is left to torch."""
    torch.manual_seed(0)
    monkeypatch.setattr(products, "NUMBERS", 70)  # one entry of a batch at a time
    one, weight = torch.randn(4, 6, 64).bfloat16(), torch.randn(4, 64, 8).bfloat16()
    with InFloat32(), NoHalfProducts():  # type: ignore[no-untyped-call]
        found = product(one, weight)
    wanted = product(one.float(), weight.float())
    assert found.dtype == torch.bfloat16
    np.testing.assert_allclose(found.float(), wanted, rtol=2**-8, atol=1e-4)


class NoHalfProducts(TorchDispatchMode):
    """Fails where torch itself multiplies matrices of bfloat16 numbers that are not few rows."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        product = any(name in str(function) for name in ("mm", "linear", "matmul"))
        half = [one for one in args if getattr(one, "dtype", None) == torch.bfloat16]
        if product and len(half) > 1 and "rdpt" not in str(function):
            assert half[-2].shape[:-1].numel() < FEW, function
        return function(*args, **(kwargs or {}))


def test_it_is_for_cpus_without_units(monkeypatch: pytest.MonkeyPatch) -> None:
    half, whole = torch.zeros(1, dtype=torch.bfloat16), torch.zeros(1)
    elsewhere = half.to("meta")
    for units in (False, True):
        monkeypatch.setattr(products, "has_units", lambda units=units: units)
        assert isinstance(quick_products(half, FEW), InFloat32) is not units
        assert not isinstance(quick_products(half, FEW - 1), InFloat32)
        assert not isinstance(quick_products(whole, FEW), InFloat32)
        assert not isinstance(quick_products(elsewhere, FEW), InFloat32)


def test_a_model_scores_as_with_units(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load(ModelSpec(path="qwen", dtype="bfloat16"), models, threads=1)
    calls: list[int] = []
    rows: list[TokenScores] = []
    quick = products._linear_in_float32

    def counted(*args: torch.Tensor) -> torch.Tensor:
        calls.append(len(args))
        result: torch.Tensor = quick(*args)
        return result

    monkeypatch.setattr(products, "_linear_in_float32", counted)
    for units in (True, False):
        monkeypatch.setattr(products, "has_units", lambda units=units: units)
        trace = tiny.trace(tiny.THINKING, tiny.problem())
        rows += HfScorer(loaded).score([tiny.problem()], [trace])
        assert bool(calls) is not units
    np.testing.assert_allclose(rows[0].logprobs, rows[1].logprobs, atol=0.05)


def tiny_qwen_moe() -> PreTrainedModel:
    size: dict[str, Any] = {
        "hidden_size": 32,
        "head_dim": 8,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    return Qwen3MoeForCausalLM(
        Qwen3MoeConfig(
            vocab_size=60,
            num_hidden_layers=2,
            num_experts=4,
            num_experts_per_tok=2,
            moe_intermediate_size=24,
            **size,
        )
    )


def tiny_gpt_oss() -> PreTrainedModel:
    config = GptOssConfig(
        vocab_size=60,
        hidden_size=32,
        intermediate_size=24,
        num_local_experts=4,
        num_experts_per_tok=2,
        head_dim=8,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    return GptOssForCausalLM._from_config(config, attn_implementation="eager")


def tiny_gpt2() -> PreTrainedModel:
    config = GPT2Config(vocab_size=60, n_embd=32, n_layer=2, n_head=4, n_positions=64)
    return GPT2LMHeadModel(config)


@pytest.mark.parametrize("make", [tiny_qwen_moe, tiny_gpt_oss, tiny_gpt2])
@torch.inference_mode()
def test_no_family_is_left_with_slow_products(make: Callable[[], PreTrainedModel]) -> None:
    """The error against float64 is no larger than torch's, and no product is torch's own."""
    torch.manual_seed(0)
    model = make().eval()
    ids = torch.randint(60, (1, 24))
    half = copy.deepcopy(model).bfloat16()
    with InFloat32(), NoHalfProducts():  # type: ignore[no-untyped-call]
        found = half(input_ids=ids).logits.double()
    exact_model = copy.deepcopy(half).double()
    exact_model.set_experts_implementation("eager")  # torch's groups take no float64
    exact = exact_model(input_ids=ids).logits
    by_torch = half(input_ids=ids).logits.double()
    assert (found - exact).norm() <= 1.2 * (by_torch - exact).norm()


@pytest.mark.parametrize("num_rows", [1, 12])
def test_the_same_texts_are_sampled_as_with_units(
    models: Path, num_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until one is on the edge between two ids: then it goes on as another text."""
    loaded = load(ModelSpec(path="qwen", dtype="bfloat16"), models, threads=1)
    calls: list[int] = []
    quick = products._linear_in_float32

    def counted(*args: torch.Tensor) -> torch.Tensor:
        calls.append(len(args))
        return quick(*args)

    monkeypatch.setattr(products, "_linear_in_float32", counted)
    found = {}
    for units in (True, False):
        monkeypatch.setattr(products, "has_units", lambda units=units: units)
        problems = [tiny.problem(f"{number}?") for number in range(num_rows)]
        traces = HfGenerator(loaded, Sampling(max_new_tokens=12), 5).generate(problems, 0)
        found[units] = traces
        assert bool(calls) is not units
    pairs = zip(found[True], found[False], strict=True)
    equal = [one.text == other.text for one, other in pairs]
    assert np.mean(equal) > 0.7
