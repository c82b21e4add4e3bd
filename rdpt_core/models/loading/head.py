"""A model's output layer: hidden states to float32 logits, of all ids or a stretch of them.

Logits are float32 whatever the weights' dtype: rounded to bfloat16, a logit of 20 is off by 0.06.

Shapes: N positions, D hidden width, V ids of the tokenizer, T ids of a stretch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear


@dataclass(frozen=True, slots=True)
class Head:
    """Weights of the ids that the tokenizer has. The rest of a padded vocabulary is untrained, and
    would enter the softmax."""

    weight_VD: Tensor
    """A view of the model's own; nothing is copied."""
    bias_V: Tensor | None = None
    softcap: float | None = None
    """Logits are bent to `softcap * tanh(logits / softcap)`, as in Gemma 2."""

    @property
    def num_ids(self) -> int:
        return len(self.weight_VD)

    def __call__(self, hidden_ND: Tensor) -> Tensor:
        """Logits of all ids, shape [N, V]."""
        return self.stretch(0, self.num_ids).logits(hidden_ND)

    def stretch(self, start: int, stop: int) -> Stretch:
        bias_T = None if self.bias_V is None else self.bias_V[start:stop].float()
        weight_TD = self.weight_VD[start:stop]
        if not weight_TD.is_cuda:
            weight_TD = weight_TD.float()
        return Stretch(weight_TD, bias_T, self.softcap)

    def of(self, ids_N: Tensor, hidden_ND: Tensor) -> Tensor:
        """The logit of one id per position, shape [N]."""
        logits_N = (self.weight_VD[ids_N].float() * hidden_ND.float()).sum(-1)
        if self.bias_V is not None:
            logits_N += self.bias_V[ids_N].float()
        return _bent(logits_N, self.softcap)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive ids of a head; their weights in float32, or as they are on a GPU, whose units sum
    products of half precision in float32."""

    weight_TD: Tensor
    bias_T: Tensor | None
    softcap: float | None

    def logits(self, hidden_ND: Tensor) -> Tensor:
        if self.weight_TD.dtype != torch.float32:
            logits_NT = torch.mm(hidden_ND, self.weight_TD.T, out_dtype=torch.float32)
            logits_NT = logits_NT if self.bias_T is None else logits_NT + self.bias_T
            return _bent(logits_NT, self.softcap)
        with _exact_products(hidden_ND):
            logits_NT = linear(hidden_ND.float(), self.weight_TD, self.bias_T)
        return _bent(logits_NT, self.softcap)


def _bent(logits: Tensor, softcap: float | None) -> Tensor:
    return logits if not softcap else torch.tanh(logits / softcap) * softcap


@contextmanager
def _exact_products(hidden_ND: Tensor) -> Iterator[None]:
    """bfloat16 numbers, held in float32, are multiplied by the CPU's bfloat16 units where it has
    them: no operand is rounded, and the sums stay float32."""
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = matmul.fp32_precision
    if hidden_ND.dtype == torch.bfloat16 and hidden_ND.device.type == "cpu":
        matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        matmul.fp32_precision = before
