"""Why a text ended, in the words of the programs that write it down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rdpt_core.tables.rows import FinishReason

_SPELLINGS = {
    FinishReason.STOP: "stop end end_turn eos eos_token stop_sequence stop_token end_of_text "
    "complete completed finished",
    FinishReason.LENGTH: "length max_tokens max_length max_new_tokens max_output_tokens "
    "max_completion_tokens token_limit length_limit model_length truncated "
    "model_context_window_exceeded",
    FinishReason.CONTENT_FILTER: "content_filter content_filtered safety recitation refusal "
    "blocklist prohibited_content spii guardrail_intervened "
    "error_toxic sensitive",
    FinishReason.TOOL_CALLS: "tool_calls tool_call tool_use function_call",
    FinishReason.ERROR: "error abort aborted cancelled canceled "
    "insufficient_system_resource malformed_function_call",
    FinishReason.UNKNOWN: "none null unknown unspecified finish_reason_unspecified",
}
_KNOWN = {name: reason for reason, names in _SPELLINGS.items() for name in names.split()}


def finish_reason(value: Any) -> FinishReason | None:
    """The reason that a server or a library gave; None where its spelling is not known.

    Case, hyphens and the name of an enumeration do not matter (`FinishReason.MAX_TOKENS`); of an
    object the `type` counts (`{"type": "length", "length": 512}`). A missing value is UNKNOWN.
    """
    if isinstance(value, Mapping):
        value = value.get("type", value.get("reason", value.get("finish_reason", value)))
    if value is None or value == "":
        return FinishReason.UNKNOWN
    if not isinstance(value, str):
        return None
    name = value.strip().rpartition(".")[2].lower()
    return _KNOWN.get(name.replace("-", "_").replace(" ", "_"))
