"""The pass over a block of logits against float64, and against torch's operations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from rdpt_core.models.loading.head import Head
from rdpt_core.scoring.statistics import ExtraStatistics, fused_sums, statistics, written_out

torch.manual_seed(0)
BLOCKS = {
    "plain": 3 * torch.randn(7, 1001),
    "one id": torch.randn(5, 1),
    "steep": 200 * torch.randn(4, 300),
    "flat": torch.zeros(3, 64),
    "far below": torch.tensor([[0.0, -86.9, -87.0, -87.1, -1e4, -math.inf]]),
}


def arguments(logits_BT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return logits_BT, logits_BT[:, :1].clone(), logits_BT.amax(1, keepdim=True)


@pytest.mark.parametrize("name", BLOCKS)
def test_sums_are_those_of_float64(name: str) -> None:
    logits_BT, target_B1, largest_B1 = arguments(BLOCKS[name])
    found = fused_sums(logits_BT, target_B1, largest_B1)
    d_BT = (logits_BT.double() - largest_B1.double()).clamp_min(-87.0)
    e_BT = d_BT.exp()
    wanted = torch.stack(
        [(logits_BT > target_B1).sum(1), e_BT.sum(1), (d_BT * e_BT).sum(1), e_BT.square().sum(1)]
    )
    np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-6, atol=1e-6)
    assert found[0].tolist() == wanted[0].tolist()


@pytest.mark.parametrize("name", BLOCKS)
def test_a_gpu_gets_the_same_from_torch(name: str) -> None:
    found = fused_sums(*arguments(BLOCKS[name]))
    assert torch.allclose(found, written_out(*arguments(BLOCKS[name])), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_number_does_not_pass(bad: float) -> None:
    logits_BT = torch.randn(2, 40)
    logits_BT[1, 17] = bad
    found = fused_sums(*arguments(logits_BT))
    assert found[1, 0].isfinite()
    assert found[1, 1].isnan()


def test_an_exponential_is_right_over_its_whole_range() -> None:
    d_B = torch.linspace(-87.0, 0.0, 200_001)
    found = fused_sums(d_B[:, None], d_B[:, None], torch.zeros(len(d_B), 1))[1]
    assert (found.double() / d_B.double().exp() - 1).abs().max() < 2e-7


@pytest.mark.parametrize(("block", "stretch"), [(1, 1), (3, 10), (256, 1024)])
def test_statistics_do_not_depend_on_how_the_vocabulary_is_cut(block: int, stretch: int) -> None:
    torch.manual_seed(1)
    hidden, weight, bias = torch.randn(11, 8), 3 * torch.randn(53, 8), torch.randn(53)
    bias[7] = -torch.inf  # an id that a model rules out
    targets = torch.randint(8, 53, (11,))
    wanted = (hidden.double() @ weight.double().T + bias.double()).log_softmax(-1)
    one = statistics(hidden, targets, Head(weight, bias), ExtraStatistics(5), block, stretch)
    picked = wanted.gather(1, targets[:, None])
    np.testing.assert_allclose(one.logprobs, picked[:, 0], atol=1e-5)
    np.testing.assert_array_equal(one.ranks, (wanted > picked).sum(1) + 1)
    p = wanted.exp()
    np.testing.assert_allclose(one.entropies, -(p * wanted.clamp_min(-1e9)).sum(1), rtol=2e-3)
    np.testing.assert_allclose(one.sum_squares, p.square().sum(1), rtol=2e-3)
    assert one.top_mass is not None
    assert one.top_squares is not None
    top = p.topk(5).values
    np.testing.assert_allclose(one.top_mass, top.sum(1), rtol=2e-3)
    np.testing.assert_allclose(one.top_squares, top.square().sum(1), rtol=2e-3)


def test_a_tie_with_the_target_is_not_above_it() -> None:
    weight = torch.randn(40, 16).repeat(2, 1)  # every logit twice, in different stretches
    hidden, targets = torch.randn(9, 16), torch.arange(31, 40)
    logits = hidden @ weight[:40].T
    above = 2 * (logits > logits.gather(1, targets[:, None])).sum(1)
    ranks = statistics(hidden, targets, Head(weight), stretch=40).ranks
    np.testing.assert_array_less(np.abs(ranks - (above + 1).numpy()), 2)


@pytest.mark.gpu
def test_a_gpu_sums_half_precision_products_in_float32() -> None:
    torch.manual_seed(0)
    head = Head(torch.randn(5000, 64).bfloat16())
    hidden, targets = torch.randn(300, 64).bfloat16(), torch.randint(5000, (300,))
    wanted = statistics(hidden, targets, head)
    found = statistics(hidden.cuda(), targets.cuda(), Head(head.weight_VD.cuda()))
    np.testing.assert_allclose(found.logprobs, wanted.logprobs, atol=1e-4)
    np.testing.assert_allclose(found.entropies, wanted.entropies, atol=1e-2)
