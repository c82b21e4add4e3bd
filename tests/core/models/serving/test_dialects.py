"""What is asked of each kind of server."""

from __future__ import annotations

import pytest

from rdpt_core.models.serving.dialects import Prompt
from rdpt_core.models.serving.http import Unreachable
from rdpt_core.models.spec import Sampling
from tests.core.models.serving.clients import KINDS, brain, client, remote, server
from tests.core.models.serving.model_server import Brain, StandInServer
from tests.core.models.serving.test_server import generated

__all__ = ["brain", "server"]


NAMED = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "n",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "ignore_eos",
    "stop",
    "stop_token_ids",
)


@pytest.mark.parametrize("kind", [*KINDS, "chat"])
def test_t44_every_sampling_parameter_is_named_at_the_value_that_changes_nothing(
    server: StandInServer, kind: str
) -> None:
    server.kind = "vllm" if kind == "chat" else kind
    found = remote(server, api="chat" if kind == "chat" else "completions").dialect
    (_, body) = found.ask_text(Prompt([1], "a"), Sampling(temperature=0.7, top_p=0.9), 1)
    named = body.get("sampling_params", body)
    assert set(NAMED) <= named.keys()
    assert (named["temperature"], named["top_p"]) == (0.7, 0.9)
    assert named["top_k"] == (0 if kind == "echo" else -1)
    if found.scores:
        (_, body) = found.ask_scores([1, 2])
        named = body.get("sampling_params", body)
        assert set(NAMED) <= named.keys()
        assert (named["temperature"], named["top_p"]) == (1.0, 1.0)


def test_a_server_that_refuses_what_openai_does_not_know_is_not_sent_it(
    server: StandInServer,
) -> None:
    server.kind, server.strict = "echo", True
    (trace,) = generated(server)
    assert trace.text
    assert "presence_penalty" in server.asked_to_write()[-1]


def test_the_deadline_grows_with_the_tokens_that_are_asked_for(
    server: StandInServer, brain: Brain
) -> None:
    """A long trace is slow, not late; and the error names what to change."""
    found = remote(server, of=client(server, deadline=0.2, token_seconds=0.05))
    prompt = Prompt(brain.vocabulary.encode("It is"), "It is")
    server.seconds = lambda body: 0.6
    assert found.write(prompt, Sampling(max_new_tokens=20)).text
    with pytest.raises(Unreachable, match=r"0.2 s, and 0.05 s for each of 2 tokens.*token_seconds"):
        found.write(prompt, Sampling(max_new_tokens=2))
