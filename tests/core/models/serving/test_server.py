"""A model behind a server: the same numbers as a model that is loaded here, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rdpt_core.models.identity import identify
from rdpt_core.models.serving.http import ItemFailed
from rdpt_core.models.serving.server import ServerGenerator
from rdpt_core.models.spec import Sampling
from rdpt_core.tables.rows import FinishReason, Trace
from tests.core.models.serving import model_server as m
from tests.core.models.serving.clients import (
    KINDS,
    PROBLEM,
    brain,
    pocket,
    remote,
    server,
)
from tests.core.models.serving.model_server import Brain, StandInServer

__all__ = ["brain", "pocket", "server"]


# ---------------------------------------------------------------------------- numbers


def test_a_server_that_is_refused_as_a_scorer_may_still_write(
    server: StandInServer, pocket: Brain
) -> None:
    server.brain, server.shift = pocket, 1
    (trace,) = generated(server)
    assert trace.text
    assert trace.token_ids is not None
    assert trace.logprobs is None, "values that did not stand the probe are not kept"


# ---------------------------------------------------------------------------- texts


def generated(server: StandInServer, sampling: Sampling | None = None, **spec: Any) -> list[Trace]:
    found = remote(server, **spec)
    known = identify(found.spec, Path(), served="s")
    rule = sampling or Sampling(max_new_tokens=60)
    return ServerGenerator(found, known, rule, 3).generate([PROBLEM], 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_comes_with_what_the_server_tells_of_it(
    server: StandInServer, pocket: Brain, kind: str
) -> None:
    server.brain, server.kind = pocket, kind
    (trace,) = generated(server)
    vocabulary = server.brain.vocabulary
    assert trace.text.startswith("<think>")
    assert "<|" not in trace.text, "the end of turn is no text"
    assert [zone.kind for zone in trace.zones][:2] == ["tag", "thought"]
    if kind == "echo":
        assert trace.token_ids is None
        assert trace.logprobs is None
        return
    assert trace.token_ids is not None
    assert trace.logprobs is not None
    ids = trace.token_ids.tolist()
    body = ids[:-1] if trace.finish_reason is FinishReason.STOP else ids
    assert vocabulary.decode(body) == trace.text
    prompt = server.brain.loaded.renderer.prompt_ids(PROBLEM)
    rows = server.brain.rows([*prompt, *ids])[len(prompt) - 1 : -1]
    np.testing.assert_allclose(trace.logprobs, rows[range(len(ids)), ids], atol=1e-4)


def test_t26_values_of_a_changed_distribution_are_never_taken_for_raw_ones(
    server: StandInServer, pocket: Brain
) -> None:
    server.brain = pocket
    for changed in ({"temperature": 0.7}, {"top_p": 0.9}):
        (trace,) = generated(server, Sampling(max_new_tokens=20, **changed))
        assert trace.logprobs is None
        assert trace.sampled_logprobs is not None


def test_a_prompt_without_room_gives_an_empty_text_that_ends_by_length(
    server: StandInServer,
) -> None:
    server.limit = 5
    (trace,) = generated(server)
    assert (trace.text, trace.finish_reason, trace.num_tokens) == ("", FinishReason.LENGTH, 0)


def test_a_server_that_renders_itself_writes_and_never_scores(server: StandInServer) -> None:
    (trace,) = generated(server, api="chat")
    assert trace.text.startswith("<think>\nI think\n</think>\n\n")
    assert (trace.token_ids, trace.num_tokens) == (None, 7)
    assert server.asked[-1][1]["messages"][-1]["content"] == PROBLEM.prompt
    with pytest.raises(ValueError, match='api = "chat" the server renders'):
        remote(server, api="chat").require_scoring()


# ---------------------------------------------------------------------------- sampling

DEFAULTS: dict[str, m.Body] = {
    "top_k 1": {"top_k": 1},
    "top_k 20": {"top_k": 20},
    "min_p": {"min_p": 0.2},
    "top_p": {"top_p": 0.8},
    "temperature": {"temperature": 0.5},
    "repetition": {"repetition_penalty": 1.5},
    "presence": {"presence_penalty": 1.5},
    "frequency": {"frequency_penalty": 1.0},
}


@pytest.mark.parametrize("kind", KINDS)
def test_t44_defaults_of_the_models_generation_config_move_no_text(
    server: StandInServer, kind: str
) -> None:
    server.kind = kind
    plain = generated(server)
    for defaults in DEFAULTS.values():
        server.defaults |= defaults
    assert generated(server) == plain


# ---------------------------------------------------------------------------- identity


# ---------------------------------------------------------------------------- faults


def test_an_aborted_text_is_asked_for_again_and_one_cut_as_a_repetition_is_truncated(
    server: StandInServer,
) -> None:
    reasons = iter(["abort", "abort", "repetition"])

    def end(body: m.Body, answer: m.Body) -> m.Body:
        if not server.is_probe(body):
            answer["choices"][0]["finish_reason"] = next(reasons)
        return answer

    server.edit = end
    (trace,) = generated(server)
    assert trace.finish_reason is FinishReason.LENGTH
    assert len(server.asked_to_write()) == 3


def test_a_text_of_another_prompt_than_was_sent_is_an_error(server: StandInServer) -> None:
    def add(body: m.Body, answer: m.Body) -> m.Body:
        """A second BOS, for example."""
        if not server.is_probe(body):
            answer["choices"][0]["prompt_token_ids"] = [0, *body["prompt"]]
        return answer

    server.edit = add
    with pytest.raises(ItemFailed, match="other token ids than"):
        generated(server)
