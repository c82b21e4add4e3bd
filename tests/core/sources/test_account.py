"""The account of a source."""

from __future__ import annotations

from pathlib import Path

from rdpt_core.sources.account import Ledger, lines
from rdpt_core.sources.traces import TraceSource, import_blocks
from tests.core.sources import public_sets as public
from tests.core.sources.test_public_schemas import write
from tests.core.sources.test_trace_rows import read


def test_an_account_is_read_by_people(tmp_path: Path) -> None:
    rows: list[public.Row] = [
        {"problem": "A", "answer": {"x": "\x1b[31m"}, "trace": "t", "finish_reason": "odd"},
        {"problem": "B", "answer": 1, "trace": "t"},
        {"problem": " ", "trace": "t"},
    ]
    write(tmp_path, "set.jsonl", rows)
    ledger = Ledger()
    list(import_blocks(TraceSource(path="set.jsonl"), 100, tmp_path, ledger))
    said = list(lines(ledger.rows("set")))
    assert said == [
        "rows: 3 (2 used, 1 rejected), traces: 2, problems: 2",
        "  problem    problem: 2 used, 1 rejected",
        "  trace      trace: 2 used, 1 rejected",
        "  thought    inside <think>: 2 missing, 1 rejected",
        "  answer     answer: 1 used, 1 not understood, 1 rejected",
        "             not understood: {'x': '\\x1b[31m'}",
        "  finish     finish_reason: 1 missing, 1 not understood, 1 rejected",
        "             not understood: odd",
        "  first reject: no problem text in 'problem'",
    ]


def test_another_answer_of_a_problem_is_counted(tmp_path: Path) -> None:
    row = {"problem": "A", "trace": "x", "answer": "1"}
    block, ledger = read(tmp_path, row, {**row, "answer": "2", "trace": "y"})
    assert [problem.answer for problem in block.problems] == ["1"]
    account = {row.became: row.num for row in ledger.rows("set") if row.role == "answer"}
    assert account == {"used": 1, "contradicts an earlier row": 1}
