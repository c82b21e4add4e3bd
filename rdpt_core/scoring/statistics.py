"""What one position's distribution says about the token that came: log-probability, rank, entropy.

The logits of a position are never all there. The vocabulary is gone through in stretches, each
small enough to stay in the cache, and every sum is carried along with the largest logit so far
(the online softmax of Milakov and Gimelshein, 2018, with the sums for entropy and squares beside
it). So memory does not grow with the vocabulary, and time is that of the head's product.

Softmax is float32 at temperature 1 whatever the weights' dtype.

Shapes: N positions, B positions of a block, D hidden width, T ids of a stretch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdpt_core.models.loading.head import Head, Stretch
from rdpt_core.scoring.entries import COLUMN_TYPES, Statistics


@dataclass(frozen=True, slots=True)
class ExtraStatistics:
    """Optional statistics, each of which takes one more walk through the logits."""

    topk: int | None = None
    """Mass and squares of so many ids, the likeliest."""
    blank_V: Tensor | None = None
    """True for the ids that begin with white space: their mass."""


def statistics(
    hidden_ND: Tensor,
    targets_N: Tensor,
    head: Head,
    asked: ExtraStatistics = ExtraStatistics(),
    block: int | None = None,
    stretch: int | None = None,
) -> Statistics:
    """Statistics of `targets_N[i]` under the distribution that `hidden_ND[i]` predicts.

    `block` positions times `stretch` ids are the logits that exist at once: few enough for a CPU's
    cache, more on a GPU, where each step costs a launch.
    """
    usual = (1024, 8192) if hidden_ND.is_cuda else (512, 1024)
    block, stretch = block or usual[0], stretch or usual[1]
    sums = [
        _BlockSums.begin(head, hidden_ND[at : at + block], targets_N[at : at + block], asked)
        for at in range(0, max(1, len(targets_N)), block)
    ]
    for start in range(0, head.num_ids, stretch):
        ids = head.stretch(start, min(start + stretch, head.num_ids))
        for one in sums:
            one.add(ids, start)
    ended = [one.end() for one in sums]
    columns: dict[str, Any] = {
        name: torch.cat([one[name] for one in ended]).cpu().numpy().astype(COLUMN_TYPES[name])
        for name in ended[0]
    }
    return Statistics(**columns)


@dataclass(slots=True)
class _BlockSums:
    """A block of positions as far as the vocabulary was gone through. With l the logits, m the
    largest so far and d = l - m:"""

    hidden_BD: Tensor
    targets_B1: Tensor
    logit_B1: Tensor
    """Logit of the target."""
    largest_B1: Tensor
    """m."""
    mass_B1: Tensor
    """Sum of exp(d)."""
    moment_B1: Tensor
    """Sum of d exp(d)."""
    squares_B1: Tensor
    """Sum of exp(2 d)."""
    above_B: Tensor
    """Ids with a larger logit than the target's."""
    blank_B1: Tensor
    """Sum of exp(d) over the ids that begin with white space, where that is asked for."""
    asked: ExtraStatistics
    top_BK: Tensor | None = None
    _rows_B1: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self._rows_B1 = torch.arange(len(self.targets_B1), device=self.targets_B1.device)[:, None]

    @classmethod
    def begin(
        cls, head: Head, hidden_BD: Tensor, targets_B: Tensor, asked: ExtraStatistics
    ) -> _BlockSums:
        logit_B1 = head.of(targets_B, hidden_BD)[:, None]
        zeros_B1 = torch.zeros_like(logit_B1)
        return cls(
            hidden_BD,
            targets_B[:, None],
            logit_B1,
            largest_B1=zeros_B1 - torch.inf,
            mass_B1=zeros_B1,
            moment_B1=zeros_B1,
            squares_B1=zeros_B1,
            above_B=torch.zeros_like(targets_B),
            blank_B1=zeros_B1,
            asked=asked,
        )

    def add(self, ids: Stretch, start: int) -> None:
        logits_BT = ids.logits(self.hidden_BD)
        self._set_target(logits_BT, start)
        self._rescale(torch.maximum(self.largest_B1, logits_BT.amax(1, keepdim=True)))
        sums = fused_sums if logits_BT.device.type == "cpu" else written_out
        found_4B1 = sums(logits_BT, self.logit_B1, self.largest_B1)[:, :, None]
        self.above_B = self.above_B + found_4B1[0, :, 0].long()
        self.mass_B1 = self.mass_B1 + found_4B1[1]
        self.moment_B1 = self.moment_B1 + found_4B1[2]
        self.squares_B1 = self.squares_B1 + found_4B1[3]
        self._add_asked(logits_BT, start)

    def _add_asked(self, logits_BT: Tensor, start: int) -> None:
        if self.asked.topk:
            known = logits_BT if self.top_BK is None else torch.cat([self.top_BK, logits_BT], 1)
            self.top_BK = known.topk(min(self.asked.topk, known.shape[1]), dim=1).values
        if self.asked.blank_V is not None:
            blank_T1 = self.asked.blank_V[start : start + logits_BT.shape[1], None]
            d_BT = (logits_BT - self.largest_B1).clamp_min_(float(LOWEST))
            self.blank_B1 = self.blank_B1 + d_BT.exp_() @ blank_T1.float()

    def _set_target(self, logits_BT: Tensor, start: int) -> None:
        """One product of the target, wherever it is read: the stretch's may differ in the last
        bit, and then the target would stand above itself."""
        at_B1 = self.targets_B1 - start
        inside_B1 = (at_B1 >= 0) & (at_B1 < logits_BT.shape[1])
        rows_I, at_I = self._rows_B1[inside_B1], at_B1[inside_B1]
        logits_BT[rows_I, at_I] = self.logit_B1[inside_B1]

    def _rescale(self, largest_B1: Tensor) -> None:
        shift_B1 = (self.largest_B1 - largest_B1).clamp_min_(float(LOWEST))
        factor_B1 = shift_B1.exp()
        self.moment_B1 = factor_B1 * (self.moment_B1 + shift_B1 * self.mass_B1)
        self.mass_B1 = factor_B1 * self.mass_B1
        self.squares_B1 = factor_B1.square() * self.squares_B1
        if self.asked.blank_V is not None:
            self.blank_B1 = factor_B1 * self.blank_B1
        self.largest_B1 = largest_B1

    def end(self) -> dict[str, Tensor]:
        """Columns by the names of `Statistics`, shape [B] each."""
        normaliser_B1 = self.mass_B1.log()
        found = {
            "logprobs": self.logit_B1 - self.largest_B1 - normaliser_B1,
            "ranks": self.above_B[:, None] + 1,
            "entropies": normaliser_B1 - self.moment_B1 / self.mass_B1,
            "sum_squares": self.squares_B1 / self.mass_B1.square(),
        }
        if self.top_BK is not None:
            p_BK = (self.top_BK - self.largest_B1).exp() / self.mass_B1
            found["top_mass"] = p_BK.sum(1, keepdim=True)
            found["top_squares"] = p_BK.square().sum(1, keepdim=True)
        if self.asked.blank_V is not None:
            found["blank_logprobs"] = self.blank_B1.log() - normaliser_B1
        return {name: column_B1[:, 0] for name, column_B1 in found.items()}


def written_out(logits_BT: Tensor, target_B1: Tensor, largest_B1: Tensor) -> Tensor:
    """`fused_sums` in torch, for any device."""
    above_B = (logits_BT > target_B1).sum(1).float()
    d_BT = (logits_BT - largest_B1).clamp_min_(float(LOWEST))
    e_BT = d_BT.exp()
    squares_B, moment_B = (torch.linalg.vecdot(e_BT, one_BT) for one_BT in (e_BT, d_BT))
    return torch.stack([above_B, e_BT.sum(1), moment_B, squares_B])


# ---------------------------------------------------------------------------- one pass on a CPU
#
# torch would go through a block of logits some nine times (compare, count, subtract, clamp,
# exponentiate, three sums), which takes half as long as the product that made it. Here each logit
# is read once, and the compiler, when the pass is first needed, makes vector instructions of it.

Floats = NDArray[np.float32]
F, I = np.float32, np.int32  # noqa: E741 - as the formulas below are read

LOWEST = F(-87.0)
"""Smallest exponent, in nats below the largest logit: exp of less is no normal float32."""
LOG2_E = F(1.4426950408889634)
LN2_HIGH, LN2_LOW = F(0.693359375), F(-2.12194440e-4)
"""ln 2 in two parts, so that a multiple of it is subtracted without rounding."""
MAGIC, MAGIC_BITS = F(12582912.0), I(0x4B400000)
"""1.5 x 2^23: added to a float32, it leaves the nearest whole number in the lowest bits."""
MANTISSA = I(23)
P5, P4, P3, P2, P1, P0 = (
    F(c)
    for c in (
        1.9875691500e-4,
        1.3981999507e-3,
        8.3334519073e-3,
        4.1665795894e-2,
        1.6666665459e-1,
        5.0000001201e-1,
    )
)
"""Polynomial of `exp` on [-ln 2 / 2, ln 2 / 2], from Cephes (S. L. Moshier); error <= 1e-7."""


@cache
def _compiled() -> Callable[[Floats, Floats, Floats, Floats], None]:
    """Imported late: numba takes half a second, compiling another one."""
    from numba import njit

    @njit(fastmath={"contract"}, error_model="numpy")
    def exp(d: Any) -> Any:
        """For -87 <= d <= 0; NaN stays NaN."""
        n = I(F(d * LOG2_E + MAGIC).view(I) - MAGIC_BITS)
        k = F(n)
        r = d - k * LN2_HIGH - k * LN2_LOW
        p = ((((P5 * r + P4) * r + P3) * r + P2) * r + P1) * r + P0
        p = p * r * r + r + F(1.0)
        return I(F(p).view(I) + I(n << MANTISSA)).view(F)

    # Sums may be taken in any order, which is what lets them be vectors; NaN is not ruled out.
    @njit(nogil=True, fastmath={"reassoc", "contract", "nsz", "arcp"}, error_model="numpy")
    def run(logits_BT: Any, target_B: Any, largest_B: Any, out_4B: Any) -> None:
        for b in range(logits_BT.shape[0]):
            target, largest = target_B[b], largest_B[b]
            above = mass = moment = squares = F(0.0)
            for t in range(logits_BT.shape[1]):
                logit = logits_BT[b, t]
                above += F(1.0) if logit > target else F(0.0)
                d = logit - largest
                d = LOWEST if d < LOWEST else d
                e = exp(d)
                mass += e
                moment += d * e
                squares += e * e
            out_4B[0, b], out_4B[1, b] = above, mass
            out_4B[2, b], out_4B[3, b] = moment, squares

    compiled: Callable[[Floats, Floats, Floats, Floats], None] = run
    return compiled


def fused_sums(logits_BT: Tensor, target_B1: Tensor, largest_B1: Tensor) -> Tensor:
    """Per position, with d = logit - largest: ids above the target, and the sums over the block of
    exp(d), d exp(d) and exp(2 d); shape [4, B], float32."""
    out_4B = logits_BT.new_empty(4, len(logits_BT))
    columns = (logits_BT, target_B1[:, 0], largest_B1[:, 0], out_4B)
    _compiled()(*(one.detach().numpy() for one in columns))
    return out_4B
