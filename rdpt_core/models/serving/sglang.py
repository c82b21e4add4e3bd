"""SGLang as a model server: its own `/generate`, by ids."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rdpt_core.models.serving import answers
from rdpt_core.models.serving.answers import Garbage
from rdpt_core.models.serving.dialects import Completion, Echoed, Prompt, Request
from rdpt_core.models.spec import Sampling

NEUTRAL: dict[str, Any] = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": -1,
    "min_p": 0.0,
    "n": 1,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "repetition_penalty": 1.0,
    "min_new_tokens": 0,
    "ignore_eos": False,
    "stop": [],
    "stop_token_ids": [],
}
"""What a server that was started with preferred sampling parameters would fill in."""


@dataclass(frozen=True)
class Sglang:
    """SGLang's own `/generate`: ids in, ids out, no ranks."""

    scores: ClassVar[bool] = True
    most_top: ClassVar[int] = 20
    root: str

    def ask_text(self, prompt: Prompt, rule: Sampling, seed: int, top: int = 1) -> Request:
        sampling = NEUTRAL | {
            "max_new_tokens": rule.max_new_tokens,
            "temperature": rule.temperature,
            "top_p": rule.top_p,
            "sampling_seed": seed,
            "skip_special_tokens": False,
        }
        return f"{self.root}/generate", {
            "input_ids": list(prompt.token_ids),
            "sampling_params": sampling,
            "return_logprob": True,
            "top_logprobs_num": top,
        }

    def read_text(self, answer: dict[str, Any], prompt: Prompt) -> Completion:
        meta = answers.as_dict(answer.get("meta_info"), "meta_info")
        triples = answers.as_list(meta.get("output_token_logprobs"), "output_token_logprobs")
        ids = answers.token_ids([answers.item(triple, 1) for triple in triples])
        reason = answers.as_dict(meta.get("finish_reason"), "finish_reason")
        return Completion(
            answers.as_text(answer.get("text")),
            answers.stopped(reason.get("type")),
            len(ids),
            ids,
            [answers.logprob(answers.item(triple, 0)) for triple in triples],
            best=tuple(
                map(
                    answers.top_of_triples,
                    answers.as_list(meta.get("output_top_logprobs") or [], "its tops"),
                )
            ),
        )

    def ask_scores(self, token_ids: Sequence[int]) -> Request:
        """From the first token on, so that nothing is read from the cache of a prefix."""
        return f"{self.root}/generate", {
            "input_ids": list(token_ids),
            "return_logprob": True,
            "logprob_start_len": 0,
            "top_logprobs_num": 1,
            "sampling_params": NEUTRAL | {"max_new_tokens": 1},
        }

    def read_scores(self, answer: dict[str, Any], token_ids: Sequence[int]) -> Echoed:
        meta = answers.as_dict(answer.get("meta_info"), "meta_info")
        triples = answers.as_list(meta.get("input_token_logprobs"), "input_token_logprobs")
        answers.check_length(triples, token_ids)
        if [answers.item(triple, 1) for triple in triples] != list(token_ids):
            raise Garbage("its token ids are not those that were sent")
        tops = [
            answers.top_of_triples(top)
            for top in answers.as_list(meta.get("input_top_logprobs") or [], "its tops")
        ]
        tops = tops if len(tops) == len(token_ids) else [{}] * len(token_ids)
        best = [*map(answers.likeliest, tops)]
        values = [answers.logprob(answers.item(triple, 0)) for triple in triples[1:]]
        return Echoed([math.nan, *values], None, best)

    def name_of(self, token_id: int) -> str:
        return str(token_id)
