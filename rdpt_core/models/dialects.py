"""How model servers are spoken to: what is sent, and what their answers mean.

A dialect only writes requests and reads answers (by `answers.py`); it sends nothing.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from rdpt_core.models import answers
from rdpt_core.models.answers import Garbage
from rdpt_core.models.spec import Sampling
from rdpt_core.models.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model reads before it writes, in whichever form a server takes it."""

    token_ids: Sequence[int]
    text: str
    messages: Sequence[Mapping[str, str]] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    """What a server that renders itself gives its template."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a server wrote."""

    text: str
    stopped: bool
    """By itself; False where its length ended it."""
    num_tokens: int | None
    token_ids: list[int] | None = None
    logprobs: list[float] | None = None
    """One per token, whether ids are told or not."""
    tokens: list[str] | None = None
    """Where text is told instead of ids."""
    reasoning: str | None = None
    """A thought that the server set apart."""
    best: tuple[dict[str, float], ...] = ()
    """The likeliest candidates of each position, where they were asked for; as the server names
    them."""


@dataclass(frozen=True, slots=True)
class Echoed:
    """What a server says of ids that it was given, one entry each; the first has no value."""

    logprobs: list[float]
    """NaN for the first."""
    ranks: list[int] | None
    best: list[str]
    """The likeliest candidate of each position, as `Dialect.name_of` names it; "" if untold."""


Request = tuple[str, dict[str, Any]]
"""Address and body."""


class Dialect(Protocol):
    @property
    def scores(self) -> bool:
        """Whether it is asked for scores at all."""

    def ask_text(self, prompt: Prompt, rule: Sampling, seed: int, top: int = 1) -> Request: ...
    def read_text(self, answer: dict[str, Any]) -> Completion: ...
    def ask_scores(self, token_ids: Sequence[int]) -> Request: ...
    def read_scores(self, answer: dict[str, Any], token_ids: Sequence[int]) -> Echoed: ...
    def name_of(self, token_id: int) -> str: ...


# ---------------------------------------------------------------------------- completions


@dataclass(frozen=True)
class _Completions:
    """OpenAI's completions, of which the others are kinds."""

    served: str
    root: str
    vocabulary: Vocabulary

    def _sampling(self, rule: Sampling, seed: int, top: int) -> dict[str, Any]:
        return {
            "model": self.served, "max_tokens": rule.max_new_tokens,
            "temperature": rule.temperature, "top_p": rule.top_p, "seed": seed, "logprobs": top,
        }  # fmt: skip

    def _choice(self, answer: dict[str, Any]) -> dict[str, Any]:
        named = answer.get("model", self.served)
        if named != self.served:
            raise Garbage(f"it is of another model: {str(named)[:60]!r}")
        return answers.as_dict(answers.first(answer.get("choices"), "choices"), "choices[0]")


class Vllm(_Completions):
    """vLLM: ids in, ids out, and the log-probability of each id of a prompt."""

    scores = True

    def ask_text(self, prompt: Prompt, rule: Sampling, seed: int, top: int = 1) -> Request:
        return "completions", self._sampling(rule, seed, top) | {
            "prompt": list(prompt.token_ids), "return_token_ids": True,
            "skip_special_tokens": False,
        }  # fmt: skip

    def read_text(self, answer: dict[str, Any]) -> Completion:
        choice = self._choice(answer)
        ids = None if choice.get("token_ids") is None else answers.token_ids(choice["token_ids"])
        told = answers.told_logprobs(choice)
        logprobs = None
        if told is not None and ids is not None:
            logprobs = answers.logprobs(told.get("token_logprobs"))
            answers.check_length(logprobs, ids)
        return Completion(
            answers.as_text(choice.get("text")), answers.stopped(choice.get("finish_reason")),
            len(ids) if ids is not None else answers.num_tokens(answer), ids, logprobs,
            best=answers.top_logprobs(told),
        )  # fmt: skip

    def ask_scores(self, token_ids: Sequence[int]) -> Request:
        """One token is generated, since none is refused. The salt keeps the cache of other
        requests out, under which values depended on the order of requests (vllm#42019)."""
        return "completions", {
            "model": self.served, "prompt": list(token_ids), "max_tokens": 1, "temperature": 1.0,
            "prompt_logprobs": 1, "cache_salt": secrets.token_hex(8),
        }  # fmt: skip

    def read_scores(self, answer: dict[str, Any], token_ids: Sequence[int]) -> Echoed:
        entries = answers.as_list(self._choice(answer).get("prompt_logprobs"), "prompt_logprobs")
        answers.check_length(entries, token_ids)
        logprobs, ranks, best = [math.nan], [0], [""]
        for token_id, entry in zip(token_ids[1:], entries[1:], strict=True):
            told = answers.as_dict(entry, "an entry of prompt_logprobs")
            own = answers.as_dict(told.get(str(token_id)), f"the entry of id {token_id}")
            logprobs.append(answers.logprob(own.get("logprob")))
            ranks.append(answers.rank(own.get("rank")))
            best.append(
                max(
                    told,
                    key=lambda name: answers.logprob(
                        answers.as_dict(told[name], "it").get("logprob")
                    ),
                )
            )
        return Echoed(logprobs, ranks, best)

    def name_of(self, token_id: int) -> str:
        return str(token_id)


class Echo(_Completions):
    """OpenAI's first completions and what imitates them: text in, text out, `echo`."""

    scores = True

    def ask_text(self, prompt: Prompt, rule: Sampling, seed: int, top: int = 1) -> Request:
        return "completions", self._sampling(rule, seed, top) | {"prompt": prompt.text}

    def read_text(self, answer: dict[str, Any]) -> Completion:
        choice = self._choice(answer)
        told = answers.told_logprobs(choice)
        return Completion(
            answers.as_text(choice.get("text")),
            answers.stopped(choice.get("finish_reason")),
            answers.num_tokens(answer),
            logprobs=None if told is None else answers.logprobs(told.get("token_logprobs")),
            tokens=None if told is None else answers.as_list(told.get("tokens"), "tokens"),
            best=answers.top_logprobs(told),
        )

    def ask_scores(self, token_ids: Sequence[int]) -> Request:
        return "completions", {
            "model": self.served, "prompt": self.vocabulary.decode(token_ids), "max_tokens": 1,
            "temperature": 1.0, "logprobs": 1, "echo": True,
        }  # fmt: skip

    def read_scores(self, answer: dict[str, Any], token_ids: Sequence[int]) -> Echoed:
        told = answers.as_dict(answers.told_logprobs(self._choice(answer)), "logprobs")
        tokens = answers.as_list(told.get("tokens"), "tokens")[: len(token_ids)]
        answers.check_length(tokens, token_ids)
        for token, token_id in zip(tokens, token_ids, strict=True):
            if not self._is(token, token_id):
                raise Garbage(f"it reads {token!r} where rdpt has {self.name_of(token_id)!r}")
        found = answers.as_list(told.get("token_logprobs"), "token_logprobs")[: len(token_ids)]
        answers.check_length(found, token_ids)
        tops = [*(answers.top_logprobs(told) or ({},) * len(token_ids))][: len(token_ids)]
        best = [*map(answers.likeliest, tops)]
        return Echoed([math.nan, *map(answers.logprob, found[1:])], None, best)

    def _is(self, token: Any, token_id: int) -> bool:
        """A piece of a character, and a control token, have no text of their own."""
        own = self.name_of(token_id)
        silent = "\ufffd" in own or self.vocabulary.is_control(token_id)
        return isinstance(token, str) and (token == own or silent)

    def name_of(self, token_id: int) -> str:
        return self.vocabulary.bytes_of(token_id).decode(errors="replace")


class Chat(_Completions):
    """A server that renders for itself: it writes, and its prompt is not ours to score."""

    scores = False

    def ask_text(self, prompt: Prompt, rule: Sampling, seed: int, top: int = 1) -> Request:
        """Candidates are asked for where more than one is wanted, since some servers refuse."""
        return "chat/completions", self._sampling(rule, seed, top) | {
            "messages": list(prompt.messages), "logprobs": top > 1,
            **({"top_logprobs": top} if top > 1 else {}),
            **({"chat_template_kwargs": dict(prompt.variables)} if prompt.variables else {}),
        }  # fmt: skip

    def read_text(self, answer: dict[str, Any]) -> Completion:
        choice = self._choice(answer)
        message = answers.as_dict(choice.get("message"), "message")
        thought = message.get("reasoning_content") or message.get("reasoning")
        told = answers.as_dict(choice.get("logprobs") or {}, "logprobs")
        tops = answers.as_list(told.get("content") or [], "logprobs.content")
        best = tuple(
            answers.top_by_text(answers.as_dict(entry, "an entry of logprobs")) for entry in tops
        )
        return Completion(
            answers.as_text(message.get("content") or ""),
            answers.stopped(choice.get("finish_reason")),
            answers.num_tokens(answer),
            reasoning=answers.as_text(thought) if thought else None,
            best=best,
        )

    def ask_scores(self, token_ids: Sequence[int]) -> Request:
        raise NotImplementedError

    def read_scores(self, answer: dict[str, Any], token_ids: Sequence[int]) -> Echoed:
        raise NotImplementedError

    def name_of(self, token_id: int) -> str:
        raise NotImplementedError


# ---------------------------------------------------------------------------- SGLang


@dataclass(frozen=True)
class Sglang:
    """SGLang's own `/generate`: ids in, ids out, no ranks."""

    scores: ClassVar[bool] = True
    root: str

    def ask_text(self, prompt: Prompt, rule: Sampling, seed: int, top: int = 1) -> Request:
        sampling = {
            "max_new_tokens": rule.max_new_tokens, "temperature": rule.temperature,
            "top_p": rule.top_p, "sampling_seed": seed, "skip_special_tokens": False,
        }  # fmt: skip
        return f"{self.root}/generate", {
            "input_ids": list(prompt.token_ids), "sampling_params": sampling,
            "return_logprob": True, "top_logprobs_num": top,
        }  # fmt: skip

    def read_text(self, answer: dict[str, Any]) -> Completion:
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
            "input_ids": list(token_ids), "return_logprob": True, "logprob_start_len": 0,
            "top_logprobs_num": 1, "sampling_params": {"max_new_tokens": 1, "temperature": 1.0},
        }  # fmt: skip

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
