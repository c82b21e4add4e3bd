"""Random draws that are the same on every machine and every Python version.

Only `random.Random(int).random()` is promised to be stable between Python releases, so every
other kind of draw is built on it here, and every stream is seeded from a hash of what it is for.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """A seeded stream of draws: `Dice("train", 7, 12)` is the stream of item 12 of that split."""

    def __init__(self, *key: str | int) -> None:
        name = "|".join(str(part) for part in key).encode()
        self._stream = random.Random(
            int.from_bytes(hashlib.blake2b(name, digest_size=16).digest(), "big")
        )

    def chance(self, p: float) -> bool:
        return self._stream.random() < p

    def between(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        return low + int(self._stream.random() * (high - low + 1))

    def pick(self, options: Sequence[T]) -> T:
        return options[self.between(0, len(options) - 1)]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Fisher-Yates, because `random.shuffle` is not promised to stay the same."""
        out = list(items)
        for i in range(len(out) - 1, 0, -1):
            j = self.between(0, i)
            out[i], out[j] = out[j], out[i]
        return out
