"""What is known of each scored token, as parallel arrays.

Apart from how it is computed (`statistics.py`), so that logged and served log-probabilities, and
every command that only plans, do without torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES = {
    "logprobs": np.float32,
    "ranks": np.uint32,
    "entropies": np.float16,
    "sum_squares": np.float16,
    "top_mass": np.float16,
    "top_squares": np.float16,
    "blank_logprobs": np.float32,
}


@dataclass(frozen=True, slots=True)
class Statistics:
    """One entry per target, parallel arrays."""

    logprobs: NDArray[np.float32]
    ranks: NDArray[np.uint32]
    entropies: NDArray[np.float16]
    sum_squares: NDArray[np.float16]
    top_mass: NDArray[np.float16] | None = None
    """Probability of the k likeliest ids; None unless asked for."""
    top_squares: NDArray[np.float16] | None = None
    blank_logprobs: NDArray[np.float32] | None = None
    """Of any id that begins with white space coming here; None unless asked for."""

    def cut(self, sizes: Sequence[int]) -> list[Statistics]:
        """Consecutive stretches of these sizes."""
        stops = accumulate(sizes)
        return [self._between(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)]

    def _between(self, start: int, stop: int) -> Statistics:
        columns = {name: getattr(self, name) for name in self.__slots__}
        some: dict[str, Any] = {n: None if c is None else c[start:stop] for n, c in columns.items()}
        return Statistics(**some)

    @classmethod
    def joined(cls, found: Sequence[Statistics]) -> Statistics:
        columns = {name: [getattr(one, name) for one in found] for name in cls.__slots__}
        whole: dict[str, Any] = {
            name: None if parts[0] is None else np.concatenate(parts)
            for name, parts in columns.items()
        }
        return cls(**whole)
