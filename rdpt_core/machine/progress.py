"""How long work tells its caller how far it is."""

from __future__ import annotations

from typing import Protocol


class ProgressCallback(Protocol):
    """Takes what was done since the last call: units of work (tokens, steps), and how many items
    (traces, answers) were finished with them. Shows them or not."""

    def __call__(self, num_done: int, num_items: int = 0, /) -> None: ...


def silent(num_done: int, num_items: int = 0) -> None:
    """A ProgressCallback that shows nothing."""
