"""Answers of model servers are parsed strictly."""

from __future__ import annotations

from typing import Any

import pytest

from rdpt_core.models.serving.answers import Garbage, parse
from rdpt_core.models.serving.dialects import Chat, Prompt
from rdpt_core.models.serving.http import ItemFailed
from tests.core.models.serving import model_server as m
from tests.core.models.serving.clients import brain, remote, server
from tests.core.models.serving.model_server import Brain, StandInServer

__all__ = ["brain", "server"]


GARBAGE = {
    "nothing": m.says(b""),
    "html": m.says(b"<html>Bad gateway</html>"),
    "cut": m.says(b'{"choices": [{"text": "so'),
    "a list": m.says(b"[]"),
    "another schema": m.says(b'{"result": 1}'),
    "no choices": m.says(b'{"choices": []}'),
    "another model": m.says(b'{"model": "other", "choices": [{}]}'),
    "a key twice": m.says(b'{"choices": [], "choices": [{}]}'),
    "not a number": m.says(b'{"choices": [{"prompt_logprobs": [NaN]}]}'),
    "infinite": m.says(b'{"choices": [{"prompt_logprobs": [1e999]}]}'),
    "no utf-8": m.says(b'{"choices": "\xff"}'),
}


CHATS: list[Any] = [
    [1],
    {"content": [1]},
    {"content": [{"top_logprobs": 1}]},
    {"content": [{"top_logprobs": [1]}]},
    {"content": [{"top_logprobs": [{"logprob": -1.0}]}]},
    {"content": [{"top_logprobs": [{"token": "a"}]}]},
]


@pytest.mark.fault("F23")
@pytest.mark.parametrize("told", CHATS)
def test_f23_candidates_of_a_chat_that_are_none_are_garbage(told: Any, brain: Brain) -> None:
    choice = {"message": {"content": "so"}, "finish_reason": "stop", "logprobs": told}
    with pytest.raises(Garbage):
        Chat("small", "", brain.vocabulary).read_text(
            {"model": "small", "choices": [choice]}, Prompt([], "")
        )


@pytest.mark.fault("F23")
@pytest.mark.parametrize("fault", GARBAGE.values(), ids=GARBAGE.keys())
def test_f23_an_answer_that_is_none_is_asked_for_three_times_and_then_an_error(
    server: StandInServer, fault: m.Fault
) -> None:
    found = remote(server)
    assert found.scoring_fault is None
    before = len(server.asked)
    server.always = fault
    with pytest.raises(ItemFailed, match="3 times"):
        found.echo([1, 2, 3])
    assert len(server.asked) - before == 3


@pytest.mark.fault("F23")
def test_parsing_is_strict() -> None:
    assert parse(b'{"a": [1, {"b": 0.5}]}') == {"a": [1, {"b": 0.5}]}
    for text in (
        '{"a": 1, "a": 2}',
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": [[1e999]]}',
        "1",
        "[" * 99999,
    ):
        with pytest.raises(ValueError, match=r"JSON|twice|number"):
            parse(text.encode())
