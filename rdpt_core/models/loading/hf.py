"""Sampling from a model that is loaded here.

Generation and scoring share the decoder and one float32 head, cut to the tokenizer's ids, so a
sampled log-probability and a scored one are the same number up to the order of summation, unless
the scorer counts leading blanks with the token before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rdpt_core.machine.progress import ProgressCallback, silent
from rdpt_core.models.author import Author
from rdpt_core.models.loading.decoding import Sample, is_raw, sample_batch
from rdpt_core.models.loading.weights import LoadedModel
from rdpt_core.models.spec import Sampling
from rdpt_core.tables import ids
from rdpt_core.tables.rows import Problem, Trace


class HfGenerator:
    """A TextGenerator: what it samples depends on its arguments and the model alone.

    `generate` runs the problems that it is given as one batch.
    """

    def __init__(self, loaded: LoadedModel, sampling: Sampling, seed: int) -> None:
        self._author = Author(loaded.identity, loaded.renderer, sampling, seed)
        self._loaded = loaded
        self._sampling = sampling
        self._seed = seed

    def generate(
        self, problems: Sequence[Problem], sample_index: int, progress: ProgressCallback = silent
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
