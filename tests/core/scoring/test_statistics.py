"""The pass over a block of logits against float64, and against torch's operations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from rdpt_core.scoring.statistics import fused_sums, written_out

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
