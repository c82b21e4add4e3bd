"""How model servers are spoken to: what is sent, and what their answers mean.

A dialect only writes requests and reads answers (by `answers.py`); it sends nothing.

Every request names every sampling parameter that its server knows, at the value that changes
nothing: what a request leaves out, vLLM takes from the model's generation_config.json, llama.cpp
from defaults of its own (T44).
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from rdpt_core.models.rendering.vocabulary import Vocabulary
from rdpt_core.models.serving import answers
from rdpt_core.models.serving.answers import Garbage
from rdpt_core.models.spec import Sampling


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
    system: str | None = None
    """What the server calls its own state (`system_fingerprint`)."""


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
        """True if it can be asked for scores at all."""

    @property
    def most_top(self) -> int:
        """Candidates of a position that it tells at most."""

    def ask_text(self, prompt: Prompt, rule: Sampling, seed: int, top: int = 1) -> Request: ...
    def read_text(self, answer: dict[str, Any], prompt: Prompt) -> Completion: ...
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
    extended: bool = True
    """It takes parameters that OpenAI's own API refuses."""
    all_k: int = 0
    """The `top_k` that takes all ids: 0, or -1 for SGLang and for vLLM of any version."""

    most_top: ClassVar[int] = 20

    def _sampling(self, rule: Sampling, seed: int, top: int) -> dict[str, Any]:
        return self._neutral() | {
            "model": self.served,
            "max_tokens": rule.max_new_tokens,
            "temperature": rule.temperature,
            "top_p": rule.top_p,
            "seed": seed,
            "logprobs": top,
        }

    def _neutral(self) -> dict[str, Any]:
        """Whatever may move a token, switched off; `repeat_penalty` is llama.cpp's spelling."""
        named = {
            "temperature": 1.0,
            "top_p": 1.0,
            "n": 1,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "logit_bias": {},
        }
        if not self.extended:
            return named
        return named | {
            "top_k": self.all_k,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "repeat_penalty": 1.0,
            "min_tokens": 0,
            "ignore_eos": False,
            "stop": [],
            "stop_token_ids": [],
        }

    def _choice(self, answer: dict[str, Any]) -> dict[str, Any]:
        named = answer.get("model", self.served)
        if named != self.served:
            raise Garbage(f"it is of another model: {str(named)[:60]!r}")
        return answers.as_dict(answers.first(answer.get("choices"), "choices"), "choices[0]")


class Vllm(_Completions):
    """vLLM: ids in, ids out, and the log-probability of each id of a prompt."""

    scores = True

    def _neutral(self) -> dict[str, Any]:
        """vLLM warns of a parameter that it does not know."""
        return {k: v for k, v in super()._neutral().items() if k != "repeat_penalty"}

    def ask_text(self, prompt: Prompt, rule: Sampling, seed: int, top: int = 1) -> Request:
        return "completions", self._sampling(rule, seed, top) | {
            "prompt": list(prompt.token_ids),
            "return_token_ids": True,
            "skip_special_tokens": False,
            "return_tokens_as_token_ids": True,
        }

    def read_text(self, answer: dict[str, Any], prompt: Prompt) -> Completion:
        choice = self._choice(answer)
        answers.check_prompt(choice.get("prompt_token_ids"), prompt.token_ids)
        ids = None if choice.get("token_ids") is None else answers.token_ids(choice["token_ids"])
        told = answers.told_logprobs(choice)
        logprobs = None
        if told is not None and ids is not None:
            logprobs = answers.logprobs(told.get("token_logprobs"))
            answers.check_length(logprobs, ids)
        return Completion(
            answers.as_text(choice.get("text")),
            answers.stopped(choice.get("finish_reason")),
            len(ids) if ids is not None else answers.num_tokens(answer),
            ids,
            logprobs,
            best=answers.top_logprobs(told),
            system=answers.label(answer.get("system_fingerprint")),
        )

    def ask_scores(self, token_ids: Sequence[int]) -> Request:
        """One token is generated, since none is refused. The salt keeps the cache of other
        requests out, under which values depended on the order of requests (vllm#42019)."""
        return "completions", self._neutral() | {
            "model": self.served,
            "prompt": list(token_ids),
            "max_tokens": 1,
            "prompt_logprobs": 1,
            "cache_salt": secrets.token_hex(8),
            "return_token_ids": True,
        }

    def read_scores(self, answer: dict[str, Any], token_ids: Sequence[int]) -> Echoed:
        choice = self._choice(answer)
        answers.check_prompt(choice.get("prompt_token_ids"), token_ids)
        entries = answers.as_list(choice.get("prompt_logprobs"), "prompt_logprobs")
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
    most_top = 5

    def ask_text(self, prompt: Prompt, rule: Sampling, seed: int, top: int = 1) -> Request:
        return "completions", self._sampling(rule, seed, top) | {"prompt": prompt.text}

    def read_text(self, answer: dict[str, Any], prompt: Prompt) -> Completion:
        choice = self._choice(answer)
        told = answers.told_logprobs(choice)
        return Completion(
            answers.as_text(choice.get("text")),
            answers.stopped(choice.get("finish_reason")),
            answers.num_tokens(answer),
            logprobs=None if told is None else answers.logprobs(told.get("token_logprobs")),
            tokens=None if told is None else answers.as_list(told.get("tokens"), "tokens"),
            best=answers.top_logprobs(told),
            system=answers.label(answer.get("system_fingerprint")),
        )

    def ask_scores(self, token_ids: Sequence[int]) -> Request:
        return "completions", self._neutral() | {
            "model": self.served,
            "prompt": self.vocabulary.decode(token_ids),
            "max_tokens": 1,
            "logprobs": 1,
            "echo": True,
        }

    def read_scores(self, answer: dict[str, Any], token_ids: Sequence[int]) -> Echoed:
        told = answers.as_dict(answers.told_logprobs(self._choice(answer)), "logprobs")
        tokens = answers.as_list(told.get("tokens"), "tokens")[: len(token_ids)]
        answers.check_length(tokens, token_ids)
        for token, token_id in zip(tokens, token_ids, strict=True):
            own = self.name_of(token_id)
            # A piece of a character, and a control token, have no text of their own.
            silent = "\ufffd" in own or self.vocabulary.is_control(token_id)
            if not isinstance(token, str) or not (token == own or silent):
                raise Garbage(f"it reads {token!r} where rdpt has {own!r}")
        found = answers.as_list(told.get("token_logprobs"), "token_logprobs")[: len(token_ids)]
        answers.check_length(found, token_ids)
        tops = [*(answers.top_logprobs(told) or ({},) * len(token_ids))][: len(token_ids)]
        best = [*map(answers.likeliest, tops)]
        return Echoed([math.nan, *map(answers.logprob, found[1:])], None, best)

    def name_of(self, token_id: int) -> str:
        return self.vocabulary.bytes_of(token_id).decode(errors="replace")


class Chat(_Completions):
    """A server that renders for itself: it writes, and its prompt is not ours to score."""

    scores = False

    def ask_text(self, prompt: Prompt, rule: Sampling, seed: int, top: int = 1) -> Request:
        """Candidates are asked for where more than one is wanted, since some servers refuse."""
        return "chat/completions", self._sampling(rule, seed, top) | {
            "messages": list(prompt.messages),
            "logprobs": top > 1,
            **({"top_logprobs": top} if top > 1 else {}),
            **({"chat_template_kwargs": dict(prompt.variables)} if prompt.variables else {}),
        }

    def read_text(self, answer: dict[str, Any], prompt: Prompt) -> Completion:
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
            system=answers.label(answer.get("system_fingerprint")),
        )

    def ask_scores(self, token_ids: Sequence[int]) -> Request:
        raise NotImplementedError

    def read_scores(self, answer: dict[str, Any], token_ids: Sequence[int]) -> Echoed:
        raise NotImplementedError

    def name_of(self, token_id: int) -> str:
        raise NotImplementedError
