"""Conversations: whose turn is the problem, whose the trace.

Turns are chosen by their role, never by their position: only some conversations begin with a system
turn. Both spellings that are common in public are read, `role`/`content` and `from`/`value`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
}
THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thought", "thoughts")
"""Where a message keeps a thought that is set apart from its content."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question and at most one reply."""

    problem: str
    """The question; empty where there is none."""
    trace: str | None
    """The reply; None where the conversation ends with the question."""
    thought: str | None
    system: str | None


@dataclass(frozen=True, slots=True)
class _Turn:
    role: str
    text: str
    thought: str | None


def is_conversation(value: Any) -> bool:
    """True if a value is a list of messages."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(turn, Mapping) and ("role" in turn or "from" in turn) for turn in value)
    )


def read_turns(value: list[Mapping[str, Any]], has_question: bool = True) -> Exchange:
    """The question, the reply and the system turn of a conversation.

    Without `has_question` the question may be missing: it stands in a column of its own.

    Raises ValueError, for the row's reason, where it is not one question and one reply: rdpt scores
    single answers.
    """
    turns = [_turn(number, message) for number, message in enumerate(value, start=1)]
    users = [turn for turn in turns if turn.role == "user"]
    replies = [turn for turn in turns if turn.role == "assistant"]
    if len(users) > 1 or (has_question and not users):
        raise ValueError(f"{len(users)} user turns: only one question and its reply can be used")
    if len(replies) > 1:
        raise ValueError(f"{len(replies)} replies: only one question and its reply can be used")
    if users and replies and turns.index(replies[0]) < turns.index(users[0]):
        raise ValueError("the reply comes before the question")
    system = [turn.text for turn in turns if turn.role == "system" and turn.text]
    return Exchange(
        problem=users[0].text if users else "",
        trace=replies[0].text if replies else None,
        thought=replies[0].thought if replies else None,
        system="\n\n".join(system) or None,
    )


def _turn(number: int, message: Mapping[str, Any]) -> _Turn:
    said = message.get("role", message.get("from"))
    role = _ROLES.get(str(said).lower())
    if role is None:
        raise ValueError(f"turn {number} is by {str(said)[:40]!r}, neither user nor assistant")
    if message.get("tool_calls") or message.get("function_call"):
        raise ValueError(f"turn {number} calls tools, and its text alone is not the answer")
    thought = next((message[key] for key in THOUGHTS if isinstance(message.get(key), str)), None)
    content = message.get("content", message.get("value"))
    return _Turn(role, _text(number, content), thought or None)


def _text(number: int, content: Any) -> str:
    """The text of a message; parts of text are joined."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    found = [part.get("text") if isinstance(part, Mapping) else part for part in parts]
    texts = [text for text in found if isinstance(text, str)]
    if len(texts) < len(found):
        raise ValueError(f"turn {number} holds something that is not text")
    return "".join(texts)
