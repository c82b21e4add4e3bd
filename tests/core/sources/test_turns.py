"""Conversations: whose turn is the problem, whose the trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.core.sources.test_trace_rows import read, refused, text_of, traces

USER, REPLY = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}


def test_the_question_is_the_users_turn_wherever_it_stands(tmp_path: Path) -> None:
    system = {"role": "system", "content": "S"}
    for messages in (
        [USER, REPLY],
        [system, USER, REPLY],
        [{**system, "role": "developer"}, USER, REPLY],
    ):
        block, _ = read(tmp_path, {"messages": messages})
        assert [problem.prompt for problem in block.problems] == ["Q"]
        assert [trace.text for trace in traces(block)] == ["A"]
        assert [origin.system for origin in block.origins] == ["S"] * (len(messages) - 2)


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([USER, REPLY, USER, REPLY], "2 user turns"),
        ([USER, REPLY, REPLY], "2 replies"),
        ([REPLY, USER], "the reply comes before the question"),
        ([{"role": "system", "content": "S"}, REPLY], "0 user turns"),
        ([USER], "no reply in 'messages'"),
        ([USER, {"role": "tool", "content": "1"}, REPLY], "turn 2 is by 'tool'"),
        ([USER, {**REPLY, "tool_calls": [{"id": 1}]}], "turn 2 calls tools"),
        ([USER, {**REPLY, "content": [{"type": "image"}]}], "turn 2 holds something that is not"),
        ([{**USER, "content": " "}, REPLY], "no problem text in 'messages'"),
        ("nothing", "no conversation in 'messages'"),
    ],
)
def test_what_is_no_question_and_reply_is_refused_with_its_reason(
    tmp_path: Path, messages: Any, reason: str
) -> None:
    assert reason in refused(tmp_path, {"messages": messages})


def test_messages_may_be_parts_of_text_or_json_in_text(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]
    assert text_of(tmp_path, {"messages": [USER, {**REPLY, "content": parts}]}) == "AB"
    assert text_of(tmp_path, {"messages": json.dumps([USER, REPLY])}) == "A"


def test_prompt_and_completion_may_be_messages(tmp_path: Path) -> None:
    assert text_of(tmp_path, {"prompt": [USER], "completion": [REPLY]}) == "A"
    system = {"role": "system", "content": "S"}
    block, _ = read(tmp_path, {"prompt": "Q", "messages": [system, USER, REPLY]})
    assert [problem.prompt for problem in block.problems] == ["Q"]
    assert [origin.system for origin in block.origins] == ["S"]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking", "thought"])
def test_a_thought_in_a_field_of_its_own_is_joined(tmp_path: Path, name: str) -> None:
    whole = "<think>\nHm.\n</think>\n\nA"
    assert text_of(tmp_path, {"problem": "Q", "response": "A", name: "Hm."}) == whole
    assert text_of(tmp_path, {"messages": [USER, {**REPLY, name: "Hm."}]}) == whole
