"""Scoring with a model that is loaded here: teacher-forced, over packs of traces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch

from rdpt_core.machine.progress import ProgressCallback, silent
from rdpt_core.models.identity import ModelIdentity
from rdpt_core.models.loading.weights import LoadedModel
from rdpt_core.models.rendering.layout import Layout
from rdpt_core.scoring.blanks import blank_ids, counted_before
from rdpt_core.scoring.entries import layout_of, scored, unscored
from rdpt_core.scoring.forward import PACK_TOKENS, Forward, ScoredSequence, TokenSequence
from rdpt_core.scoring.statistics import ExtraStatistics
from rdpt_core.tables.rows import Problem, ScoreStatus, TokenScores, Trace


class FinishedPacks(Protocol):
    """Rows of the packs of an unfinished part, by the number of the pack: a kill must not lose
    them."""

    def kept(self, index: int) -> list[TokenScores] | None: ...
    def keep(self, index: int, rows: list[TokenScores]) -> None: ...


class HfScorer:
    """A TextScorer: one teacher-forced forward over packs of traces.

    `pack_tokens` bounds the tokens of a pack; it moves no number beyond rounding. `alone` lays a
    text after its prompt as it stands, without delimiters and end of turn, whatever its zones.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        pack_tokens: int = PACK_TOKENS,
        topk_stats: int | None = None,
        alone: bool = False,
        finished: FinishedPacks | None = None,
    ) -> None:
        self.scorer, self._author = loaded.identity.digest, loaded.identity.author
        self.reasons: dict[str, str] = {}
        """Why a trace is an error, by its id."""
        self._loaded, self._finished = loaded, finished
        numerics = loaded.identity.numerics
        blank_V, device = None, loaded.head.weight_VD.device
        if numerics.endswith("+blanks"):
            blank_V = blank_ids(loaded.renderer.vocabulary, loaded.head.num_ids)
        self._blank_V = blank_V
        self._forward = Forward(
            loaded.decoder,
            loaded.head,
            pack_tokens,
            ExtraStatistics(
                topk_stats, None if blank_V is None else torch.from_numpy(blank_V).to(device)
            ),
            loaded.compiled if numerics.startswith("compiled") else None,
        )
        self._alone = alone

    def in_chunks_of(self, tokens: int) -> HfScorer:
        """The same model reading in packs and chunks of so many tokens; what moves is noise."""
        other = copy(self)
        other._forward = replace(self._forward, pack_tokens=tokens, chunked=True)
        return other

    def with_numerics(self, identity: ModelIdentity) -> HfScorer:
        """The same weights, scoring as this identity of theirs says."""
        forward = self._forward
        loaded = replace(self._loaded, identity=identity)
        return HfScorer(loaded, forward.pack_tokens, forward.asked.topk, self._alone)

    def score(
        self,
        problems: Sequence[Problem],
        traces: Sequence[Trace],
        progress: ProgressCallback = silent,
    ) -> Iterator[TokenScores]:
        """One row per trace, in order; `progress` counts scored tokens, prompts left out.

        `problems` holds the problem of every trace, in any order. A trace of which one token has no
        finite log-probability is an error row: it would otherwise pass for a shorter one.
        """
        by_id = {problem.problem_id: problem for problem in problems}
        rows: dict[int, TokenScores] = {}
        layouts: dict[int, Layout] = {}
        for index, trace in enumerate(traces):
            laid = self._lay(by_id.get(trace.problem_id), trace)
            if isinstance(laid, Layout):
                layouts[index] = laid
            else:
                rows[index] = unscored(trace, self.scorer, laid)
        sequences = {i: TokenSequence(x.input_ids, len(x.prompt_ids)) for i, x in layouts.items()}
        for number, pack in enumerate(self._forward.packs(sequences)):
            found = self._kept(number, [traces[index] for index in pack])
            if found is None:
                read = self._forward.read(sequences, pack)
                found = [self._row(traces[one.index], layouts[one.index], one) for one in read]
                self._keep(number, found)
            rows |= zip(pack, found, strict=True)
            for index in pack:
                progress(len(layouts[index].completion_ids), 1)
        yield from (rows[index] for index in range(len(traces)))

    def _kept(self, number: int, traces: Sequence[Trace]) -> list[TokenScores] | None:
        """The rows of a pack that was finished before, in the order of its traces."""
        kept = self._finished.kept(number) if self._finished is not None else None
        by_id = {row.trace_id: row for row in kept or ()}
        found = [by_id.get(trace.trace_id) for trace in traces]
        whole = [row for row in found if row is not None]
        return whole if len(whole) == len(traces) == len(by_id) else None

    def _keep(self, number: int, rows: list[TokenScores]) -> None:
        """An error is tried again with the part, which then says why."""
        if self._finished is not None and all(row.status != ScoreStatus.ERROR for row in rows):
            self._finished.keep(number, rows)

    def _row(self, trace: Trace, layout: Layout, one: ScoredSequence) -> TokenScores:
        found, asked = one.statistics, self._forward.asked
        if found is None or not np.isfinite(found.logprobs).all():
            self._note(trace, "a log-probability is not finite, or memory ran out")
            return unscored(trace, self.scorer, ScoreStatus.ERROR)
        if self._blank_V is not None:
            found = counted_before(found, layout, self._blank_V)
        return scored(trace, self.scorer, layout, found, one.split, asked.topk)

    def _lay(self, problem: Problem | None, trace: Trace) -> Layout | ScoreStatus:
        loaded = self._loaded
        laid = layout_of(
            loaded.renderer,
            self._author,
            loaded.limit,
            problem,
            trace,
            self._alone,
            self.reasons,
        )
        if isinstance(laid, Layout) and max(laid.input_ids) >= loaded.num_rows:
            self._note(trace, f"it has id {max(laid.input_ids)}, and the weights end before that")
            return ScoreStatus.ERROR
        return laid

    def _note(self, trace: Trace, why: str) -> None:
        self.reasons[trace.trace_id] = f"trace {trace.trace_id}: {why}"
