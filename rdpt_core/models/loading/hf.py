"""Language models through transformers: one loaded model behind both protocols of the seam.

Generation and scoring share the decoder and one float32 head, cut to the tokenizer's ids, so a
sampled log-probability and a scored one are the same number up to the order of summation, unless
the scorer counts leading blanks with the token before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace

import numpy as np

from rdpt_core.models.author import Author
from rdpt_core.models.identity import ModelIdentity
from rdpt_core.models.loading.decoding import Sample, is_raw, sample_batch
from rdpt_core.models.loading.loading import Loaded, load
from rdpt_core.models.protocols import Progress, silent
from rdpt_core.models.rendering.layout import Layout
from rdpt_core.models.rendering.reading import layout_of
from rdpt_core.models.spec import Sampling
from rdpt_core.scoring.blanks import counted_before
from rdpt_core.scoring.entries import scored, unscored
from rdpt_core.scoring.forward import PACK_TOKENS, Forward, Laid, Scored
from rdpt_core.scoring.statistics import Asked
from rdpt_core.tables import ids
from rdpt_core.tables.rows import Problem, ScoreStatus, TokenScores, Trace

__all__ = ["HfGenerator", "HfScorer", "Loaded", "load"]


class HfGenerator:
    """A TextGenerator: what it samples depends on its arguments and the model alone.

    `generate` runs the problems that it is given as one batch.
    """

    def __init__(self, loaded: Loaded, sampling: Sampling, seed: int) -> None:
        self._author = Author(loaded.identity, loaded.renderer, sampling, seed)
        self._loaded = loaded
        self._sampling = sampling
        self._seed = seed

    def generate(
        self, problems: Sequence[Problem], sample_index: int, progress: Progress = silent
    ) -> list[Trace]:
        """One trace per problem, in order; `progress` counts new tokens.

        A prompt that leaves no room gives an empty text that ends by length.
        """
        prompts = [self._loaded.renderer.prompt_ids(problem) for problem in problems]
        seeds = [
            ids.sample_seed(self._seed, problem.problem_id, sample_index) for problem in problems
        ]
        rooms = [max(0, self._loaded.limit - len(prompt)) for prompt in prompts]
        samples = sample_batch(
            self._loaded.decoder,
            self._loaded.head,
            prompts,
            seeds,
            [min(self._sampling.max_new_tokens, room) for room in rooms],
            self._sampling,
            self._loaded.ends,
            progress,
        )
        return [
            self._trace(problem, sample_index, seed, sample)
            for problem, seed, sample in zip(problems, seeds, samples, strict=True)
        ]

    def _trace(self, problem: Problem, index: int, seed: int, sample: Sample) -> Trace:
        body = sample.token_ids[:-1] if sample.stopped else sample.token_ids
        text = self._loaded.renderer.vocabulary.decode(body, self._loaded.renderer.contract.fresh)
        changed = not is_raw(self._sampling)
        return self._author.trace(
            problem,
            index,
            text,
            stopped=sample.stopped,
            seed=seed,
            num_tokens=len(sample.token_ids),
            token_ids=np.array(sample.token_ids, np.int32),
            logprobs=np.array(sample.logprobs, np.float32),
            sampled_logprobs=np.array(sample.sampled_logprobs, np.float32) if changed else None,
        )


class HfScorer:
    """A TextScorer: one teacher-forced forward over packs of traces.

    `pack_tokens` bounds the tokens of a pack; it moves no number beyond rounding. `alone` lays a
    text after its prompt as it stands, without delimiters and end of turn, whatever its zones.
    """

    def __init__(
        self,
        loaded: Loaded,
        pack_tokens: int = PACK_TOKENS,
        topk_stats: int | None = None,
        alone: bool = False,
    ) -> None:
        self.scorer = loaded.identity.digest
        self.reasons: dict[str, str] = {}
        """Why a trace is an error, by its id."""
        self._loaded = loaded
        numerics = loaded.identity.numerics
        self._moves_blanks = numerics.endswith("+blanks")
        self._forward = Forward(
            loaded.decoder,
            loaded.head,
            pack_tokens,
            Asked(topk_stats, loaded.blank_V if self._moves_blanks else None),
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
        self, problems: Sequence[Problem], traces: Sequence[Trace], progress: Progress = silent
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
        for one in self._forward.run(
            {i: Laid(x.input_ids, len(x.prompt_ids)) for i, x in layouts.items()}
        ):
            trace, layout = traces[one.index], layouts[one.index]
            rows[one.index] = self._row(trace, layout, one)
            progress(len(layout.completion_ids))
        yield from (rows[index] for index in range(len(traces)))

    def _row(self, trace: Trace, layout: Layout, one: Scored) -> TokenScores:
        found, asked = one.statistics, self._forward.asked
        if found is None or not np.isfinite(found.logprobs).all():
            self._note(trace, "a log-probability is not finite, or memory ran out")
            return unscored(trace, self.scorer, ScoreStatus.ERROR)
        if self._moves_blanks:
            found = counted_before(found, layout, self._loaded.blank_ids)
        return scored(trace, self.scorer, layout, found, one.split, asked.topk)

    def _lay(self, problem: Problem | None, trace: Trace) -> Layout | ScoreStatus:
        loaded = self._loaded
        laid = layout_of(
            loaded.renderer,
            loaded.identity.author,
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
