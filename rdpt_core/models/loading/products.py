"""Products of bfloat16 numbers on a CPU without units for them, at the speed of float32.

There torch takes up to ten times as long for them as for float32 ones (perf/blocks.py). Here the
operands are held in float32, some at a time, and the sums rounded to bfloat16, as torch rounds its.
A product of less than FEW rows is left to torch: to hold the weights in float32 then costs more
than it gains.

Shapes: N positions, D inputs, E outputs, X experts or entries of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

from rdpt_core.machine.processor import has_units

POSITIONS, OUTPUTS = 1024, 1024
"""Most of a product whose operands are held in float32 at once."""
NUMBERS = 1 << 22
"""Most numbers of an operand of a batch of products that are held in float32 at once; of one entry
at least."""
FEW = 4
"""Rows from which float32 is quicker: with 320 x 896 weights one row takes 46 microseconds by torch
and 60 in float32, two 75 and 86, four 167 and 93, sixteen 790 and 166."""


def quick_products(weight: Tensor, num_positions: int) -> AbstractContextManager[object]:
    """Within, the products of a model that has this weight, and reads so many positions at once,
    are quick where they can be."""
    slow = weight.dtype == torch.bfloat16 and weight.device.type == "cpu" and not has_units()
    return InFloat32() if slow and num_positions >= FEW else nullcontext()


class InFloat32(TorchFunctionMode):
    """Takes the place of torch's products for bfloat16 numbers, wherever a model calls them:
    linear layers, GPT-2's layers (`addmm`), experts in groups, in batches and one by one."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if function is linear:
            return _linear(*args, **named)
        if function is torch.addmm and len(args) == 3 and not named and args[0].dim() == 1:
            return _linear(args[1], args[2].T, args[0])
        if function in _MATRIX_PRODUCTS and len(args) == 2 and not named:
            return _matmul(function, *args)
        if function is torch._grouped_mm:
            return _grouped(*args, **named)
        return function(*args, **named)


_MATRIX_PRODUCTS = (
    torch.matmul,
    torch.mm,
    torch.bmm,
    Tensor.matmul,
    Tensor.__matmul__,
    Tensor.mm,
    Tensor.bmm,
)


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if not _are_half(input, weight) or input.numel() < FEW * input.shape[-1]:
        return linear(input, weight, bias)
    # Calling an operation of one's own takes as long as a small product.
    product = linear_in_float32 if torch.compiler.is_compiling() else _linear_in_float32
    return product(input, weight, bias)


def _matmul(function: Callable[..., Tensor], one: Tensor, other: Tensor) -> Tensor:
    if not _are_half(one, other) or min(one.dim(), other.dim()) < 2:
        return function(one, other)
    if other.dim() == 2 and other.shape[1] >= FEW:
        return _linear(one, other.T)
    few = min(one.shape[-2], other.shape[-1]) < FEW
    if few or one.shape[:-2] != other.shape[:-2]:
        return function(one, other)
    found: Tensor = batch_in_float32(one, other)
    return found


def _grouped(input: Tensor, weight: Tensor, offs: Tensor | None = None, **asked: Any) -> Tensor:
    """The function that torch.nn.functional.grouped_mm calls, with its signature."""
    plain = all(value is None for value in asked.values()) and input.dim() < weight.dim()
    if offs is None or not plain or not _are_half(input, weight):
        return torch._grouped_mm(input, weight, offs=offs, **asked)
    found: Tensor = grouped_in_float32(input, weight, offs)
    return found


def _are_half(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype == torch.bfloat16


def _linear_in_float32(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`input` [..., D] times `weight` [E, D], of bfloat16 numbers; returns bfloat16 [..., E]."""
    input_ND = input.reshape(-1, input.shape[-1])
    out_NE = input.new_empty(len(input_ND), len(weight))
    for at in range(0, len(input_ND), POSITIONS):
        some_ND = input_ND[at : at + POSITIONS].float()
        for low in range(0, len(weight), OUTPUTS):
            ids = slice(low, low + OUTPUTS)
            part = None if bias is None else bias[ids].float()
            out_NE[at : at + POSITIONS, ids] = linear(some_ND, weight[ids].float(), part)
    return out_NE.reshape(*input.shape[:-1], len(weight))


linear_in_float32 = torch.library.custom_op(
    "rdpt::linear_in_float32", _linear_in_float32, mutates_args=()
)
"""One operation to the compiler."""


@linear_in_float32.register_fake
def _(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return input.new_empty(*input.shape[:-1], len(weight))


@torch.library.custom_op("rdpt::grouped_in_float32", mutates_args=())
def grouped_in_float32(input: Tensor, weight: Tensor, offs: Tensor) -> Tensor:
    """Rows of `input` [N, D], in groups that end at `offs` [X], times the group's own weights,
    `weight` [X, D, E], of bfloat16 numbers; returns bfloat16 [N, E], zero behind the last group."""
    out_NE = input.new_zeros(len(input), weight.shape[-1])
    for expert, (start, stop) in enumerate(pairwise([0, *offs.tolist()])):
        if stop > start:
            out_NE[start:stop] = _linear(input[start:stop], weight[expert].T)
    return out_NE


@grouped_in_float32.register_fake
def _(input: Tensor, weight: Tensor, offs: Tensor) -> Tensor:
    return input.new_empty(len(input), weight.shape[-1])


@torch.library.custom_op("rdpt::batch_in_float32", mutates_args=())
def batch_in_float32(one: Tensor, other: Tensor) -> Tensor:
    """`one` [..., N, D] times `other` [..., D, E], of bfloat16 numbers; returns bfloat16."""
    one_XND, other_XDE = one.flatten(0, -3), other.flatten(0, -3)
    out_XNE = one.new_empty(len(one_XND), one.shape[-2], other.shape[-1])
    largest = max(one_XND[0].numel(), other_XDE[0].numel(), 1)
    step = max(1, NUMBERS // largest)
    for at in range(0, len(one_XND), step):
        some = slice(at, at + step)
        out_XNE[some] = one_XND[some].float() @ other_XDE[some].float()
    return out_XNE.reshape(*one.shape[:-1], other.shape[-1])


@batch_in_float32.register_fake
def _(one: Tensor, other: Tensor) -> Tensor:
    return one.new_empty(*one.shape[:-1], other.shape[-1])
