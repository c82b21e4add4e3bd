"""Sampling from a model behind a server, which is sent the ids that rdpt renders.

Only its tokenizer and template are loaded here. Texts are taken after a probe alone (`probe.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rdpt_core.machine.abreast import abreast
from rdpt_core.machine.progress import ProgressCallback, silent
from rdpt_core.models.author import Author
from rdpt_core.models.identity import ModelIdentity
from rdpt_core.models.rendering.template import conversation
from rdpt_core.models.serving.dialects import Completion, Prompt
from rdpt_core.models.serving.http import ItemFailed
from rdpt_core.models.serving.remote import Remote
from rdpt_core.models.spec import Sampling
from rdpt_core.tables import ids
from rdpt_core.tables.rows import Problem, Trace

SEED_BITS = 31
"""What every server takes."""


class ServerGenerator:
    """A TextGenerator whose requests are under way together, as many as the server may have.

    Raises ValueError where the server does not sample as it is asked to.
    """

    def __init__(
        self, remote: Remote, identity: ModelIdentity, sampling: Sampling, seed: int
    ) -> None:
        remote.require_sampling()
        self._author = Author(identity, remote.renderer, sampling, seed)
        self._remote, self._sampling, self._seed = remote, sampling, seed

    def generate(
        self, problems: Sequence[Problem], sample_index: int, progress: ProgressCallback = silent
    ) -> list[Trace]:
        """One trace per problem, in order; `progress` counts new tokens.

        A prompt that leaves no room gives an empty text that ends by length. Raises ItemFailed,
        with the problem named, for one that the server does not answer.
        """

        def one(problem: Problem) -> Trace:
            try:
                return self._trace(problem, sample_index, progress)
            except ItemFailed as error:
                raise ItemFailed(f"problem {problem.problem_id}: {error}") from error

        return list(abreast(one, problems, self._remote.client.server.concurrency))

    def _trace(self, problem: Problem, index: int, progress: ProgressCallback) -> Trace:
        seed = ids.sample_seed(self._seed, problem.problem_id, index) % 2**SEED_BITS
        done = self._written(problem, seed, progress)
        text = self._text(done)
        kept = self._kept_ids(done, text)
        sound = self._remote.scoring_fault is None  # else its values did not stand the probe
        logprobs = np.array(done.logprobs, np.float32) if kept and done.logprobs and sound else None
        raw = self._sampling.temperature == 1.0 and self._sampling.top_p == 1.0
        progress(done.num_tokens or 0, 1)
        return self._author.trace(
            problem,
            index,
            text,
            stopped=done.stopped,
            seed=seed,
            num_tokens=done.num_tokens,
            token_ids=np.array(kept, np.int32) if kept else None,
            logprobs=logprobs if raw else None,
            # Whether a server's values are those after temperature and top-p depends on its kind
            # and version, so they are never taken for raw ones (T26).
            sampled_logprobs=None if raw else logprobs,
        )

    def _written(self, problem: Problem, seed: int, progress: ProgressCallback) -> Completion:
        renderer = self._remote.renderer
        prompt_ids = renderer.prompt_ids(problem)
        room = min(self._sampling.max_new_tokens, self._remote.limit - len(prompt_ids))
        if room <= 0:
            return Completion("", stopped=False, num_tokens=0)
        prompt = Prompt(
            prompt_ids,
            renderer.vocabulary.decode(prompt_ids),
            conversation(problem.prompt, renderer.contract.system),
            self._remote.spec.variables,
        )
        rule = self._sampling.model_copy(update={"max_new_tokens": room})
        return self._remote.write(prompt, rule, seed=seed, tick=lambda: progress(0))

    def _text(self, done: Completion) -> str:
        """The text as returned, without an end of turn; a separate thought is put in front."""
        renderer, contract = self._remote.renderer, self._remote.renderer.contract
        if done.reasoning is not None:
            renderer.require_thinking()
            opened = "" if contract.think_open == "prompt" else contract.open
            return opened + done.reasoning + contract.close + done.text
        end = b"" if contract.end is None else renderer.vocabulary.bytes_of(contract.end)
        return done.text.removesuffix(end.decode(errors="replace")) if done.stopped else done.text

    def _kept_ids(self, done: Completion, text: str) -> list[int] | None:
        """Ids that are the text, with the end of turn where it ended by itself."""
        if not done.token_ids:
            return None
        body = done.token_ids[:-1] if done.stopped else done.token_ids
        lengths = self._remote.renderer.vocabulary.lengths(body, text.encode())
        return None if lengths is None else done.token_ids
