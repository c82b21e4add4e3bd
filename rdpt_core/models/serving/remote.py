"""A model on a server, as it was found there: how it is spoken to, and what its probe says."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from rdpt_core.models.rendering.render import Renderer
from rdpt_core.models.serving.answers import Garbage, label, one_line
from rdpt_core.models.serving.dialects import Chat, Completion, Dialect, Echo, Echoed, Prompt, Vllm
from rdpt_core.models.serving.fingerprint import Fingerprint
from rdpt_core.models.serving.http import Client, ItemFailed, Refused, Unreachable
from rdpt_core.models.serving.probe import TEXTS, Probe, greedy
from rdpt_core.models.serving.sglang import Sglang
from rdpt_core.models.serving.window import Tick
from rdpt_core.models.spec import ModelSpec, Sampling
from rdpt_core.tables.spelling import hint

FIRST_TRIES = 2
"""Tries of the first request: a server that is down is reported within seconds."""
VERSIONS = ("version", "get_server_info")
"""Where vLLM and SGLang tell their version, next to the API of OpenAI."""
MOST_STATES = 4


@dataclass
class Remote:
    """A model on a server, as it was found there."""

    client: Client
    spec: ModelSpec
    renderer: Renderer
    dialect: Dialect
    limit: int
    """Longest sequence in tokens."""
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _states: set[str] = field(default_factory=set)

    def write(
        self, prompt: Prompt, rule: Sampling, top: int = 1, seed: int = 0, tick: Tick = bool
    ) -> Completion:
        """A text of the model. Raises Unreachable, Refused, or ItemFailed."""
        address, body = self.dialect.ask_text(prompt, rule, seed, top)
        done = self.client.ask(
            address,
            body,
            lambda answer: self.dialect.read_text(answer, prompt),
            tick,
            num_tokens=rule.max_new_tokens,
        )
        if done.system is not None and len(self._states) < MOST_STATES:
            self._states.add(done.system)
        return done

    def echo(self, token_ids: Sequence[int], tick: Tick = bool) -> Echoed:
        address, body = self.dialect.ask_scores(token_ids)
        return self.client.ask(
            address, body, lambda answer: self.dialect.read_scores(answer, token_ids), tick
        )

    @property
    def fingerprint(self) -> Fingerprint:
        """By which its model is known again; asked for once."""
        with self._lock:
            return self._probe.fingerprint

    @property
    def scoring_fault(self) -> str | None:
        """Why it may not score; asked for once."""
        with self._lock:
            return self._probe.scoring_fault

    @property
    def sampling_fault(self) -> str | None:
        """Why its texts are not samples of the model; asked for once."""
        with self._lock:
            return self._probe.sampling_fault

    def require_scoring(self) -> None:
        """Raises ValueError where its log-probabilities are not to be believed."""
        if self.scoring_fault is not None:
            raise ValueError(
                f"server {self.spec.server!r} may write with {served_name(self.spec)!r}, and not "
                f"score: {self.scoring_fault}. Either have it served by vLLM or SGLang with "
                'api = "completions", or score with the model itself (backend = "hf")'
            )

    def require_sampling(self) -> None:
        """Raises ValueError where it does not sample as it is asked to."""
        if self.sampling_fault is not None:
            raise ValueError(
                f"server {self.spec.server!r} does not sample {served_name(self.spec)!r} as it is "
                f"asked: {self.sampling_fault}"
            )

    @property
    def kind(self) -> str:
        """How it is spoken to, for people."""
        return type(self.dialect).__name__.lower()

    def about(self) -> dict[str, Any]:
        """What it says of itself, for a part's record; no identity."""
        return {"api": self.kind, "version": self._version, "states": sorted(self._states)}

    @cached_property
    def _version(self) -> str | None:
        for name in VERSIONS:
            with suppress(Refused, ItemFailed, Unreachable):
                address = f"{self.client.server.root}/{name}"
                if found := self.client.ask(address, None, _version, tries=1):
                    return found
        return None

    @cached_property
    def _probe(self) -> Probe:
        said = f"server {self.spec.server!r}, {served_name(self.spec)!r}: "
        return Probe(
            self.write,
            self.echo,
            self.dialect,
            self.renderer.vocabulary,
            self.client.server.concurrency,
            lambda line: self.client.say(said + line),
        )


def served_name(spec: ModelSpec) -> str:
    return spec.served or spec.path


def connect(
    client: Client, spec: ModelSpec, renderer: Renderer, own_limit: int | None, tick: Tick = bool
) -> Remote:
    """Finds a model on its server, and how the server is spoken to.

    `own_limit` is the longest sequence by the model's own files. Raises Unreachable, Refused, or
    ValueError where the server has no such model.
    """
    models = client.ask("models", None, _models, tick, FIRST_TRIES)
    name = served_name(spec)
    if name not in models:
        raise ValueError(
            f"server {spec.server!r} has no model {name!r}; {hint(name, models)}it has: "
            f"{', '.join(sorted(models)) or 'none'}; set `served` to one of them"
        )
    entry = models[name]
    stated = [entry.get("max_model_len"), own_limit, spec.context]
    limits = [one for one in stated if isinstance(one, int) and one > 0]
    if not limits:
        raise ValueError(
            f"neither server {spec.server!r} nor config.json says how long a sequence of {name!r} "
            "may be: give `context = ...` in its entry"
        )
    dialect = _dialect(client, spec, renderer, entry, tick)
    return Remote(client, spec, renderer, dialect, min(limits))


def _models(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    data = answer.get("data")
    if not isinstance(data, list) or not all(isinstance(one, dict) for one in data):
        raise Garbage("it lists no models")
    return {one_line(str(one.get("id"))): one for one in data}


def _version(answer: dict[str, Any]) -> str | None:
    return label(answer.get("version"))


def _dialect(
    client: Client, spec: ModelSpec, renderer: Renderer, entry: dict[str, Any], tick: Tick
) -> Dialect:
    """By what the server says that it is, else by what it does: one that does not know ids as a
    prompt may break on them (llama-cpp-python answers 500), so they are sent once."""
    root, vocabulary, owner = client.server.root, renderer.vocabulary, entry.get("owned_by")
    all_k = -1 if owner in ("vllm", "sglang") else 0
    if spec.api == "chat":
        return _admitted(client, Chat(served_name(spec), root, vocabulary, all_k=all_k), tick)
    if owner == "sglang":
        return Sglang(root)
    vllm = Vllm(served_name(spec), root, vocabulary, all_k=all_k)
    if owner == "vllm":
        return vllm
    token_ids = vocabulary.encode(TEXTS[0])
    address, body = vllm.ask_scores(token_ids)
    try:
        client.ask(address, body, lambda answer: vllm.read_scores(answer, token_ids), tick, 1)
    except (ItemFailed, Unreachable):
        return _admitted(client, Echo(served_name(spec), root, vocabulary), tick)
    return vllm


def _admitted(client: Client, dialect: Chat | Echo, tick: Tick) -> Dialect:
    """With all parameters that it may take: OpenAI's own API refuses those that it lacks."""
    prompt = Prompt([], TEXTS[0], ({"role": "user", "content": TEXTS[0]},))
    address, body = dialect.ask_text(prompt, greedy(1), 0)
    try:
        client.ask(address, body, lambda answer: None, tick, FIRST_TRIES)
    except ItemFailed:
        return replace(dialect, extended=False)
    return dialect
