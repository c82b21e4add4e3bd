"""How long work tells its caller how far it is."""

from __future__ import annotations

from typing import Protocol


class ProgressCallback(Protocol):
    """Takes the number of units done since the last call; shows them or not."""

    def __call__(self, num_done: int, /) -> None: ...


def silent(num_done: int) -> None:
    """A ProgressCallback that shows nothing."""
