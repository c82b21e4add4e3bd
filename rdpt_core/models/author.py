"""Who writes a text: one model under one way of sampling, wherever it runs."""

from __future__ import annotations

from dataclasses import dataclass

from rdpt_core.models.identity import ModelIdentity
from rdpt_core.models.rendering.render import Renderer
from rdpt_core.models.spec import Sampling
from rdpt_core.tables import ids
from rdpt_core.tables.recipe import plain
from rdpt_core.tables.rows import F32s, FinishReason, I32s, Problem, Trace


@dataclass(frozen=True)
class Author:
    """Signs the texts of a generator: equal for equal models, samplings and seeds."""

    identity: ModelIdentity
    renderer: Renderer
    sampling: Sampling
    seed: int

    def trace(
        self,
        problem: Problem,
        sample_index: int,
        text: str,
        *,
        stopped: bool,
        seed: int,
        num_tokens: int | None,
        token_ids: I32s | None,
        logprobs: F32s | None,
        sampled_logprobs: F32s | None,
    ) -> Trace:
        """A text that it wrote with this seed; `stopped` where it ended by itself."""
        sampling = ids.digest(
            "sampling", plain(self.sampling), self.renderer.contract.digest, self.seed
        )
        author = self.identity.author
        return Trace(
            trace_id=ids.sampled_trace_id(problem.problem_id, author, sampling, sample_index, text),
            problem_id=problem.problem_id,
            author=author,
            sample_index=sample_index,
            text=text,
            zones=self.renderer.zones(text),
            finish_reason=FinishReason.STOP if stopped else FinishReason.LENGTH,
            num_tokens=num_tokens,
            token_ids=token_ids,
            logprobs=logprobs,
            sampled_logprobs=sampled_logprobs,
            seed=seed,
            source_id=None,
        )
