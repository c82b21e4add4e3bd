"""How model servers are spoken to: what is sent, and what their answers mean.

A dialect only writes requests and reads answers; it sends nothing. Answers are read strictly: what
is not exactly as it must be raises Garbage, and no number of it is used.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from rdpt_core.models.http import Garbage
from rdpt_core.models.spec import Sampling
from rdpt_core.models.vocabulary import Vocabulary

FLOOR = -9999.0
"""What vLLM sends in place of minus infinity."""
ROUNDING = 1e-6
"""Nats above 0 that are taken for 0: the log-softmax of a certain token may round up."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model reads before it writes, in whichever form a server takes it."""

    token_ids: Sequence[int]
    text: str
    messages: Sequence[Mapping[str, str]] = ()
    think: bool | None = None
    """The thinking mode that a server is asked for which renders itself; None asks for none."""


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
        return _dict(_first(answer.get("choices"), "choices"), "choices[0]")


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
        ids = None if choice.get("token_ids") is None else _ids(choice["token_ids"])
        told = _openai_logprobs(choice)
        logprobs = None
        if told is not None and ids is not None:
            logprobs = _values(told.get("token_logprobs"))
            _check_length(logprobs, ids)
        return Completion(
            _text(choice.get("text")), _stopped(choice.get("finish_reason")),
            len(ids) if ids is not None else _num_tokens(answer), ids, logprobs,
            best=_tops(told),
        )  # fmt: skip

    def ask_scores(self, token_ids: Sequence[int]) -> Request:
        """One token is generated, since none is refused. The salt keeps the cache of other
        requests out, under which values depended on the order of requests (vllm#42019)."""
        return "completions", {
            "model": self.served, "prompt": list(token_ids), "max_tokens": 1, "temperature": 1.0,
            "prompt_logprobs": 1, "cache_salt": secrets.token_hex(8),
        }  # fmt: skip

    def read_scores(self, answer: dict[str, Any], token_ids: Sequence[int]) -> Echoed:
        entries = _list(self._choice(answer).get("prompt_logprobs"), "prompt_logprobs")
        _check_length(entries, token_ids)
        logprobs, ranks, best = [math.nan], [0], [""]
        for token_id, entry in zip(token_ids[1:], entries[1:], strict=True):
            told = _dict(entry, "an entry of prompt_logprobs")
            own = _dict(told.get(str(token_id)), f"the entry of id {token_id}")
            logprobs.append(_value(own.get("logprob")))
            ranks.append(_rank(own.get("rank")))
            best.append(max(told, key=lambda name: _value(_dict(told[name], "it").get("logprob"))))
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
        told = _openai_logprobs(choice)
        return Completion(
            _text(choice.get("text")), _stopped(choice.get("finish_reason")), _num_tokens(answer),
            logprobs=None if told is None else _values(told.get("token_logprobs")),
            tokens=None if told is None else _list(told.get("tokens"), "tokens"),
            best=_tops(told),
        )  # fmt: skip

    def ask_scores(self, token_ids: Sequence[int]) -> Request:
        return "completions", {
            "model": self.served, "prompt": self.vocabulary.decode(token_ids), "max_tokens": 1,
            "temperature": 1.0, "logprobs": 1, "echo": True,
        }  # fmt: skip

    def read_scores(self, answer: dict[str, Any], token_ids: Sequence[int]) -> Echoed:
        told = _dict(_openai_logprobs(self._choice(answer)), "logprobs")
        tokens = _list(told.get("tokens"), "tokens")[: len(token_ids)]
        _check_length(tokens, token_ids)
        for token, token_id in zip(tokens, token_ids, strict=True):
            if not self._is(token, token_id):
                raise Garbage(f"it reads {token!r} where rdpt has {self.name_of(token_id)!r}")
        found = _list(told.get("token_logprobs"), "token_logprobs")[: len(token_ids)]
        _check_length(found, token_ids)
        tops = [*(_tops(told) or ({},) * len(token_ids))][: len(token_ids)]
        best = [max(top, key=lambda name: top[name]) if top else "" for top in tops]
        return Echoed([math.nan, *map(_value, found[1:])], None, best)

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
        mode = {} if prompt.think is None else {"enable_thinking": prompt.think}
        return "chat/completions", self._sampling(rule, seed, top) | {
            "messages": list(prompt.messages), "logprobs": top > 1,
            **({"top_logprobs": top} if top > 1 else {}),
            **({"chat_template_kwargs": mode} if mode else {}),
        }  # fmt: skip

    def read_text(self, answer: dict[str, Any]) -> Completion:
        choice = self._choice(answer)
        message = _dict(choice.get("message"), "message")
        thought = message.get("reasoning_content") or message.get("reasoning")
        told = _dict(choice.get("logprobs") or {}, "logprobs")
        tops = _list(told.get("content") or [], "logprobs.content")
        best = tuple(_named(_dict(entry, "an entry of logprobs")) for entry in tops)
        return Completion(
            _text(message.get("content") or ""), _stopped(choice.get("finish_reason")),
            _num_tokens(answer), reasoning=_text(thought) if thought else None, best=best,
        )  # fmt: skip

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
        meta = _dict(answer.get("meta_info"), "meta_info")
        triples = _list(meta.get("output_token_logprobs"), "output_token_logprobs")
        ids = _ids([_item(triple, 1) for triple in triples])
        reason = _dict(meta.get("finish_reason"), "finish_reason")
        return Completion(
            _text(answer.get("text")), _stopped(reason.get("type")), len(ids), ids,
            [_value(_item(triple, 0)) for triple in triples],
            best=tuple(map(_triples, _list(meta.get("output_top_logprobs") or [], "its tops"))),
        )  # fmt: skip

    def ask_scores(self, token_ids: Sequence[int]) -> Request:
        """From the first token on, so that nothing is read from the cache of a prefix."""
        return f"{self.root}/generate", {
            "input_ids": list(token_ids), "return_logprob": True, "logprob_start_len": 0,
            "top_logprobs_num": 1, "sampling_params": {"max_new_tokens": 1, "temperature": 1.0},
        }  # fmt: skip

    def read_scores(self, answer: dict[str, Any], token_ids: Sequence[int]) -> Echoed:
        meta = _dict(answer.get("meta_info"), "meta_info")
        triples = _list(meta.get("input_token_logprobs"), "input_token_logprobs")
        _check_length(triples, token_ids)
        if [_item(triple, 1) for triple in triples] != list(token_ids):
            raise Garbage("its token ids are not those that were sent")
        tops = [_triples(top) for top in _list(meta.get("input_top_logprobs") or [], "its tops")]
        tops = tops if len(tops) == len(token_ids) else [{}] * len(token_ids)
        best = [max(top, key=lambda name: top[name]) if top else "" for top in tops]
        values = [_value(_item(triple, 0)) for triple in triples[1:]]
        return Echoed([math.nan, *values], None, best)

    def name_of(self, token_id: int) -> str:
        return str(token_id)


# ---------------------------------------------------------------------------- reading


def _first(value: Any, what: str) -> Any:
    if not _list(value, what):
        raise Garbage(f"{what} is empty")
    return value[0]


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise Garbage(f"{what} is no list")
    return value


def _dict(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Garbage(f"{what} is not there")
    return value


def _item(triple: Any, index: int) -> Any:
    found = _list(triple, "an entry")
    if index >= len(found):
        raise Garbage("an entry is too short")
    return found[index]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Garbage("its text is none")
    return value


def _ids(values: Any) -> list[int]:
    found = _list(values, "token ids")
    if any(type(one) is not int or not 0 <= one < 2**31 for one in found):
        raise Garbage("its token ids are no ids")
    return found


def _value(value: Any) -> float:
    """A log-probability, in nats."""
    if type(value) not in (int, float) or not FLOOR < value <= ROUNDING:
        raise Garbage(f"a log-probability is {str(value)[:40]}")
    return min(0.0, float(value))


def _values(values: Any) -> list[float]:
    return [_value(value) for value in _list(values, "token_logprobs")]


def _rank(value: Any) -> int:
    if type(value) is not int or not 0 < value < 2**32:
        raise Garbage(f"a rank is {str(value)[:40]}")
    return value


def _check_length(entries: Sequence[Any], token_ids: Sequence[int]) -> None:
    if len(entries) != len(token_ids):
        raise Garbage(f"{len(entries)} entries for {len(token_ids)} ids")


def _stopped(reason: Any) -> bool:
    if reason not in ("stop", "length"):
        raise Garbage(f"its text ended by {str(reason)[:40]!r}, which is neither stop nor length")
    return bool(reason == "stop")


def _num_tokens(answer: dict[str, Any]) -> int | None:
    usage = answer.get("usage")
    found = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return found if type(found) is int and found >= 0 else None


def _openai_logprobs(choice: dict[str, Any]) -> dict[str, Any] | None:
    told = choice.get("logprobs")
    return None if told is None else _dict(told, "logprobs")


def _tops(told: dict[str, Any] | None) -> tuple[dict[str, float], ...]:
    found = (told or {}).get("top_logprobs") or []
    return tuple(
        {name: _value(value) for name, value in _dict(top or {}, "top_logprobs").items()}
        for top in _list(found, "top_logprobs")
    )


def _triples(entry: Any) -> dict[str, float]:
    """SGLang's candidates of one position, by their ids."""
    return {str(_item(one, 1)): _value(_item(one, 0)) for one in _list(entry or [], "its tops")}


def _named(entry: dict[str, Any]) -> dict[str, float]:
    """A chat's candidates of one position, by their text."""
    found = [
        _dict(one, "a candidate") for one in _list(entry.get("top_logprobs") or [], "its tops")
    ]
    return {_text(one.get("token")): _value(one.get("logprob")) for one in found}
