"""Muon in float32, for hidden matrices.

`torch.optim.Muon` orthogonalises in bfloat16, which is some sixty times slower than float32 on a
CPU without bfloat16 units; the rule is otherwise the same: Nesterov momentum, five Newton-Schulz
iterations, and a step scaled by the matrix's shape.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

_A, _B, _C = 3.4445, -4.7750, 2.0315


def orthogonalised(update_MN: Tensor, steps: int = 5) -> Tensor:
    """About the nearest semi-orthogonal matrix: singular values come to lie in 0.7..1.2."""
    wide = update_MN.size(0) <= update_MN.size(1)
    x = update_MN if wide else update_MN.T
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    result: Tensor = x if wide else x.T
    return result


class Muon(torch.optim.Optimizer):
    """Steps of equal size in every direction: a token teaches more than under AdamW."""

    def __init__(self, params: Iterable[Tensor], lr: float = 0.02, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(p)
                momentum = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                update = orthogonalised(p.grad.lerp(momentum, group["momentum"]))
                p.add_(update, alpha=-group["lr"] * max(1.0, p.size(0) / p.size(1)) ** 0.5)
