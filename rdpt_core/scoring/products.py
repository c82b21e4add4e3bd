"""Linear layers of bfloat16 numbers on a CPU without units for them, at the speed of float32.

There torch takes ten times as long for them as for float32 ones (perf/blocks.py). Here the operands
are held in float32, some at a time, and the sums rounded to bfloat16, as torch rounds its.

Shapes: N positions, D inputs, E outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

from rdpt_core.scoring.paths import has_units

POSITIONS, OUTPUTS = 1024, 1024
"""Most of a product whose operands are held in float32 at once."""


def quick_products(weight: Tensor) -> AbstractContextManager[object]:
    """Within, the linear layers of a model that has this weight are quick where they can be."""
    slow = weight.dtype == torch.bfloat16 and weight.device.type == "cpu" and not has_units()
    return InFloat32() if slow else nullcontext()


class InFloat32(TorchFunctionMode):
    """Takes the place of torch's linear layer for bfloat16 numbers."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if function is linear and _is_half(*args, **named):
            return linear_in_float32(*args, **named)
        return function(*args, **named)


def _is_half(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    return input.dtype == weight.dtype == torch.bfloat16


@torch.library.custom_op("rdpt::linear_in_float32", mutates_args=())
def linear_in_float32(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`input` [..., D] times `weight` [E, D], of bfloat16 numbers; returns bfloat16 [..., E]. One
    operation to the compiler."""
    input_ND = input.reshape(-1, input.shape[-1])
    out_NE = input.new_empty(len(input_ND), len(weight))
    for at in range(0, len(input_ND), POSITIONS):
        some_ND = input_ND[at : at + POSITIONS].float()
        for low in range(0, len(weight), OUTPUTS):
            ids = slice(low, low + OUTPUTS)
            part = None if bias is None else bias[ids].float()
            out_NE[at : at + POSITIONS, ids] = linear(some_ND, weight[ids].float(), part)
    return out_NE.reshape(*input.shape[:-1], len(weight))


@linear_in_float32.register_fake
def _(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return input.new_empty(*input.shape[:-1], len(weight))
