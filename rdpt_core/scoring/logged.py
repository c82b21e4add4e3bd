"""Log-probabilities that a teacher's server wrote down when the traces were made.

No weights are needed: an imported trace brings its token ids and one log-probability for each. They
are taken only where the ids are the text, byte for byte, and then laid on its bytes as a forward
pass would lay them. What the log lacks (ranks, entropies, squares) is missing, never 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rdpt_core.machine.progress import ProgressCallback, silent
from rdpt_core.models.rendering.layout import Layout, map_sampled
from rdpt_core.models.rendering.render import Renderer
from rdpt_core.models.spec import Logged
from rdpt_core.scoring.entries import Statistics, scored, unscored
from rdpt_core.tables.rows import Problem, ScoreSource, ScoreStatus, TokenScores, Trace


class LoggedScorer:
    """A TextScorer: its scores are those that the traces bring.

    A trace without them, whose ids are not its text, or that another author wrote, is an error row.
    """

    def __init__(self, scorer: str, renderer: Renderer, logged: Logged) -> None:
        self.scorer = scorer
        self._renderer = renderer
        self._logged = logged
        self.reasons: dict[str, str] = {}
        """Trace to why its ids were not believed."""

    def score(
        self,
        problems: Sequence[Problem],
        traces: Sequence[Trace],
        progress: ProgressCallback = silent,
    ) -> Iterator[TokenScores]:
        """One row per trace, in order; `progress` counts tokens. Raises ValueError where it is not
        said whose log-probabilities those of several authors are."""
        authors = sorted({trace.author for trace in traces})
        if self._logged.author is None and len(authors) > 1:
            raise ValueError(
                f"its traces have several authors ({', '.join(authors[:3])}): say whose the "
                f'log-probabilities are, such as logged = {{ author = "{authors[0]}" }}'
            )
        for trace in traces:
            row = self._row(trace)
            progress(len(row.token_bytes), 1)
            yield replace(
                row,
                source=ScoreSource.LOGGED,
                temperature=self._logged.temperature,
                topk=self._logged.topk,
            )

    def _row(self, trace: Trace) -> TokenScores:
        own = self._logged.is_of(trace.author)
        layout = self._lay(trace) if own else None
        if own and layout is None and trace.token_ids is not None:
            self.reasons[trace.trace_id] = (
                f"trace {trace.trace_id}, whose token ids are not its text under the tokenizer of "
                f"{self._renderer.path}"
            )
        if layout is None or trace.logprobs is None:
            return unscored(trace, self.scorer, ScoreStatus.ERROR)
        # What follows the text and is no end of turn was logged and belongs to nothing.
        found = Statistics.of_logprobs(trace.logprobs[: len(layout.completion_ids)])
        return scored(trace, self.scorer, layout, found, split=False, topk=None)

    def _lay(self, trace: Trace) -> Layout | None:
        """The logged ids on the text's bytes; a control token behind them is the end of turn."""
        if trace.token_ids is None:
            return None
        given = [int(token_id) for token_id in trace.token_ids]
        vocabulary = self._renderer.vocabulary
        ended = bool(given) and vocabulary.stands_apart(given[-1])
        for body, end in ((given, ()), (given[:-1], tuple(given[-1:]))):
            pieces = map_sampled(body, trace, vocabulary) if not end or ended else None
            if pieces is not None:
                return Layout((), pieces, end, retokenized=False)
        return None
