"""The seam between rdpt and language models: two protocols of one method each.

Everything above them deals in problems, traces and rows; everything below in tensors, tokenizers
and servers. Generators are in `loading/hf.py` and `serving/server.py`; scorers are a room above the
models, `rdpt_core/scoring/`: `hf.py`, `server.py`, `logged.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from rdpt_core.machine.progress import ProgressCallback, silent
from rdpt_core.tables.rows import Problem, TokenScores, Trace


class TextGenerator(Protocol):
    """Samples one batch: one trace per problem, in order."""

    def generate(
        self, problems: Sequence[Problem], sample_index: int, progress: ProgressCallback = silent
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
        progress: ProgressCallback = silent,
    ) -> Iterator[TokenScores]: ...
