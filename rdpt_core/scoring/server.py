"""Scoring by a model behind a server, which is sent the ids that rdpt renders.

Scores are taken after a probe alone (`models/serving/probe.py`), and only as they come: what is not
a log-probability of exactly the ids that were sent makes the row an error, never a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rdpt_core.machine.abreast import abreast
from rdpt_core.machine.progress import ProgressCallback, silent
from rdpt_core.models.identity import ModelIdentity
from rdpt_core.models.rendering.layout import Layout
from rdpt_core.models.serving.http import ItemFailed
from rdpt_core.models.serving.remote import Remote
from rdpt_core.scoring.entries import Statistics, layout_of, scored, unscored
from rdpt_core.tables.rows import Problem, ScoreSource, ScoreStatus, TokenScores, Trace


class ServerScorer:
    """A TextScorer: one request per trace, as many under way as the server may have.

    A server tells no entropy and no sum of squares: they are missing (NaN), and so is a rank
    (0) that it does not tell. Raises ValueError where the server does not stand the probe.
    """

    def __init__(self, remote: Remote, identity: ModelIdentity, alone: bool = False) -> None:
        remote.require_scoring()
        self.scorer = identity.digest
        self.reasons: dict[str, str] = {}
        """Why the server gave a trace no score, by its id; it may be asked again."""
        self.unread: dict[str, str] = {}
        """Why a trace cannot be sent at all."""
        self._remote, self._author, self._alone = remote, identity.author, alone

    def score(
        self,
        problems: Sequence[Problem],
        traces: Sequence[Trace],
        progress: ProgressCallback = silent,
    ) -> Iterator[TokenScores]:
        """One row per trace, in order; `progress` counts scored tokens, prompts left out."""
        by_id = {problem.problem_id: problem for problem in problems}

        def one(trace: Trace) -> TokenScores:
            return self._row(by_id.get(trace.problem_id), trace, progress)

        yield from abreast(one, traces, self._remote.client.server.concurrency)

    def _row(
        self, problem: Problem | None, trace: Trace, progress: ProgressCallback
    ) -> TokenScores:
        longest = self._remote.limit - 1  # one token must be generated (T28)
        layout = layout_of(
            self._remote.renderer,
            self._author,
            longest,
            problem,
            trace,
            self._alone,
            self.unread,
        )
        if not isinstance(layout, Layout):
            return unscored(trace, self.scorer, layout, ScoreSource.SERVER)
        try:
            told = self._remote.echo(layout.input_ids, lambda: progress(0))
        except ItemFailed as error:
            self.reasons[trace.trace_id] = str(error)
            return unscored(trace, self.scorer, ScoreStatus.ERROR, ScoreSource.SERVER)
        start = len(layout.prompt_ids)
        ranks = None if told.ranks is None else told.ranks[start:]
        found = Statistics.of_logprobs(told.logprobs[start:], ranks)
        progress(len(layout.completion_ids), 1)
        return scored(
            trace, self.scorer, layout, found, split=False, topk=None, source=ScoreSource.SERVER
        )
