"""One pass over a block of logits on a CPU, compiled when it is first needed.

torch would go through the block some nine times (compare, count, subtract, clamp, exponentiate,
three sums), which takes half as long as the product that made it. Here each logit is read once,
and the compiler makes vector instructions of it.

Shapes: B positions, T ids.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

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
"""Of `exp` on [-ln 2 / 2, ln 2 / 2], from Cephes (S. L. Moshier); off by at most 1 in 10^7."""


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


def sums(logits_BT: Tensor, target_B1: Tensor, largest_B1: Tensor) -> Tensor:
    """Per position, with d = logit - largest: ids above the target, and the sums over the block of
    exp(d), d exp(d) and exp(2 d); shape [4, B], float32."""
    out_4B = logits_BT.new_empty(4, len(logits_BT))
    columns = (logits_BT, target_B1[:, 0], largest_B1[:, 0], out_4B)
    _compiled()(*(one.detach().numpy() for one in columns))
    return out_4B
