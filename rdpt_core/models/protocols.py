"""The seam between rdpt and language models: two protocols of one method each.

Everything above them deals in problems, traces and rows; everything below in tensors, tokenizers
and servers. `hf.py` is the real implementation, `fake.py` the planted one of the tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from rdpt_core.tables.rows import Problem, TokenScores, Trace


class Progress(Protocol):
    """Told how many units of work are done; shows them or not."""

    def __call__(self, num_done: int, /) -> None: ...


def silent(num_done: int) -> None:
    """A Progress that shows nothing."""


class TextGenerator(Protocol):
    """Samples one batch: one trace per problem, in order."""

    def generate(
        self, problems: Sequence[Problem], sample_index: int, progress: Progress = silent
    ) -> list[Trace]: ...


class TextScorer(Protocol):
    """Scores traces teacher-forced, one TokenScores each, in order.

    A trace that cannot be scored comes back with its status and empty arrays; it never raises.
    """

    scorer: str

    def score(
        self,
        problems: Sequence[Problem],
        traces: Sequence[Trace],
        progress: Progress = silent,
    ) -> Iterator[TokenScores]: ...
