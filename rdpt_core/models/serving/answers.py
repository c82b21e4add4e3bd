"""Answers of model servers, read strictly: what is not exactly as it must be raises Garbage.

Servers are not trusted: no number of an answer is used that was not checked here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

FLOOR = -9999.0
"""What vLLM sends in place of minus infinity."""
ROUNDING = 1e-6
"""Nats above 0 that are taken for 0: the log-softmax of a certain token may round up."""


ENDS = {"stop": True, "length": False, "repetition": False}
"""Finish reasons, and whether the text ended by itself. vLLM may cut a text that repeats itself:
then it is as truncated as one that met its limit."""


class Garbage(ValueError):
    """An unusable response, found while it is read."""


class Interrupted(Exception):
    """A response that the server itself broke off: its fault, so the request is sent again."""


def parse(content: bytes) -> dict[str, Any]:
    """A JSON object without NaN, infinities and duplicate keys. Raises Garbage."""
    try:
        found = json.loads(content, parse_constant=_no_number, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Garbage(f"no JSON: {str(error)[:100]}") from error
    if not isinstance(found, dict):
        raise Garbage(f"a JSON {type(found).__name__}, not an object")
    _check_finite(found)
    return found


def _no_number(text: str) -> None:
    raise Garbage(f"{text} is not a JSON number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Garbage("duplicate key")
    return found


def _check_finite(value: Any) -> None:
    """A number such as 1e999 is read as infinite."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Garbage("a number is not finite")
        return
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, float | dict | list):
            _check_finite(item)


def first(value: Any, what: str) -> Any:
    if not as_list(value, what):
        raise Garbage(f"{what} is empty")
    return value[0]


def as_list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise Garbage(f"{what} is not a list")
    return value


def as_dict(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Garbage(f"{what} is not there")
    return value


def item(triple: Any, index: int) -> Any:
    found = as_list(triple, "an entry")
    if index >= len(found):
        raise Garbage("an entry is too short")
    return found[index]


def as_text(value: Any) -> str:
    if not isinstance(value, str):
        raise Garbage("text is missing")
    return value


def token_ids(values: Any) -> list[int]:
    found = as_list(values, "token ids")
    if any(type(one) is not int or not 0 <= one < 2**31 for one in found):
        raise Garbage("token ids are not non-negative integers")
    return found


def logprob(value: Any) -> float:
    """A log-probability, in nats."""
    if type(value) not in (int, float) or not FLOOR < value <= ROUNDING:
        raise Garbage(f"a log-probability is {str(value)[:40]!r}")
    return min(0.0, float(value))


def logprobs(values: Any) -> list[float]:
    return [logprob(value) for value in as_list(values, "token_logprobs")]


def rank(value: Any) -> int:
    if type(value) is not int or not 0 < value < 2**32:
        raise Garbage(f"a rank is {str(value)[:40]!r}")
    return value


def check_length(entries: Sequence[Any], token_ids: Sequence[int]) -> None:
    if len(entries) != len(token_ids):
        raise Garbage(f"{len(entries)} entries for {len(token_ids)} ids")


def stopped(reason: Any) -> bool:
    """True if the text ended by itself, by its finish reason. Raises Interrupted, or Garbage."""
    if reason == "abort":
        raise Interrupted("the server aborted its own text (finish_reason 'abort')")
    if not isinstance(reason, str) or reason not in ENDS:
        allowed = ", ".join(ENDS)
        raise Garbage(f"its finish_reason is {str(reason)[:40]!r}, not one of {allowed}")
    return ENDS[reason]


def check_prompt(found: Any, token_ids: Sequence[int]) -> None:
    """Raises Garbage where a server says that it read other ids than it was sent."""
    if found is not None and list(as_list(found, "prompt_token_ids")) != list(token_ids):
        raise Garbage(f"it read {len(found)} other token ids than the {len(token_ids)} sent")


def label(value: Any) -> str | None:
    """A short label such as a version; None where there is none."""
    return one_line(value)[:100] if isinstance(value, str) and value else None


def one_line(text: str) -> str:
    """Text of a server for a terminal: on one line, without control characters."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def num_tokens(answer: dict[str, Any]) -> int | None:
    usage = answer.get("usage")
    found = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return found if type(found) is int and found >= 0 else None


def told_logprobs(choice: dict[str, Any]) -> dict[str, Any] | None:
    told = choice.get("logprobs")
    return None if told is None else as_dict(told, "logprobs")


def top_logprobs(told: dict[str, Any] | None) -> tuple[dict[str, float], ...]:
    """Candidates of each position by their text, or by their id where vLLM names them so."""
    found = (told or {}).get("top_logprobs") or []
    return tuple(
        {
            name.removeprefix("token_id:"): logprob(value)
            for name, value in as_dict(top or {}, "top_logprobs").items()
        }
        for top in as_list(found, "top_logprobs")
    )


def likeliest(top: dict[str, float]) -> str:
    """The most probable of some candidates, by its name; "" for none."""
    return max(top, key=lambda name: top[name]) if top else ""


def top_of_triples(entry: Any) -> dict[str, float]:
    """SGLang's candidates of one position, by their ids."""
    return {str(item(one, 1)): logprob(item(one, 0)) for one in as_list(entry or [], "its tops")}


def top_by_text(entry: dict[str, Any]) -> dict[str, float]:
    """A chat's candidates of one position, by their text."""
    found = [
        as_dict(one, "a candidate") for one in as_list(entry.get("top_logprobs") or [], "its tops")
    ]
    return {as_text(one.get("token")): logprob(one.get("logprob")) for one in found}
