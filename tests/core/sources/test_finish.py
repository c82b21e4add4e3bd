"""Why a generation ended, in the words of servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rdpt_core.sources.finish import finish_reason
from rdpt_core.tables.rows import FinishReason
from tests.core.sources.test_trace_rows import read, traces


@pytest.mark.parametrize(
    ("reason", "spellings"),
    [
        (
            "stop",
            [
                "stop",
                "STOP",
                "end_turn",
                "eos_token",
                "FinishReason.STOP",
                "stop_sequence",
                {"type": "stop"},
            ],
        ),
        (
            "length",
            [
                "length",
                "max_tokens",
                "MAX_TOKENS",
                "FinishReason.LENGTH",
                "max-tokens",
                {"type": "length", "length": 512},
            ],
        ),
        ("content_filter", ["content_filter", "SAFETY", "refusal"]),
        ("tool_calls", ["tool_calls", "tool_use", "function_call"]),
        ("error", ["abort", "error", "cancelled"]),
        ("unknown", [None, "", "null"]),
        (None, ["odd", 7, True, {"a": 1}, ["stop"]]),
    ],
)
def test_finish_reasons_as_servers_spell_them(reason: str | None, spellings: list[Any]) -> None:
    for spelling in spellings:
        assert finish_reason(spelling) == (reason and FinishReason(reason)), spelling


def test_a_finish_reason_that_is_not_understood_is_counted_and_kept(tmp_path: Path) -> None:
    row = {"problem": "A", "trace": "x", "finish_reason": "odd"}
    block, ledger = read(tmp_path, row, {**row, "trace": "y", "finish_reason": "MAX_TOKENS"})
    assert {trace.finish_reason for trace in traces(block)} == {"unknown", "length"}
    assert {origin.finish for origin in block.origins} == {"odd", "MAX_TOKENS"}
    (odd,) = (row for row in ledger.rows("set") if row.became == "not understood")
    assert (odd.role, odd.column, odd.num, odd.example) == ("finish", "finish_reason", 1, "odd")
