"""A plan shows what a source will be read as; a run ends with its account, cached or not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from rdpt_core.sources.account import shortened
from tests.core.models import tiny

STUDY = """
name = "x"
traces = { source = "import", path = "traces.jsonl" }
teachers = [{ name = "t", path = "model" }]
students = [{ name = "s", path = "model", source = "select" }]
selectors = [{ name = "random" }]
grading = { grader = "exact" }
[pool]
eligible = "all"
"""
THOUGHT = "<think>\nOne more.\n</think>\n\n"
ROWS = [
    {"problem": "1 + 1?", "answer": 2, "response": f"{THOUGHT}2", "finish_reason": "end_turn"},
    {"problem": "2 + 1?", "answer": 3, "response": f"{THOUGHT}3", "finish_reason": "MAX_TOKENS"},
    {"problem": "3 + 1?", "answer": 4, "response": f"{THOUGHT}4", "finish_reason": "SAFETY"},
    {"problem": "4 + 1?", "answer": {}, "response": f"{THOUGHT}5", "finish_reason": "odd"},
    {"problem": "\x1b[2J", "answer": 6},
]
ACCOUNT = [
    "traces: rows: 5 (4 used, 1 rejected), traces: 4, problems: 4",
    "  problem    problem: 4 used, 1 rejected",
    "  trace      response: 4 used, 1 rejected",
    "  thought    inside <think>: 4 used, 1 rejected",
    "  answer     answer: 3 used, 1 not understood, 1 rejected",
    "             not understood: {}",
    "  finish     finish_reason: 3 used, 1 not understood, 1 rejected",
    "             not understood: odd",
    "  first reject: no text in 'response'",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("accounts")
    tiny.make_qwen(folder / "model")
    (folder / "study.toml").write_text(STUDY)
    (folder / "traces.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return folder


def rdpt(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "RDPT_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )


def test_a_plan_shows_three_rows_and_the_account(folder: Path) -> None:
    said = rdpt(folder, "plan", "study.toml").stdout.splitlines()
    start = said.index("traces: the first rows of traces as they will be read")
    assert said[start + 1 : start + 6] == [
        "  row 1   problem  1 + 1?",
        "          thought  One more.",
        "          answer   2",
        "          gold     2",
        "          finish   stop",
    ]
    assert said[start + 16 : start + 16 + len(ACCOUNT)] == ACCOUNT
    assert not (folder / "workspace").exists()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("abcdef", "abcdef"),
        ("abcdefg", "abc..."),
        ("雨雨雨", "雨雨雨"),
        ("雨雨雨雨", "雨..."),
        ("a\x1bb", "a\\x1bb"),
        ("e\u0301tude", "e\u0301tude"),
    ],
)
def test_a_line_is_as_wide_as_a_terminal_shows_it(text: str, line: str) -> None:
    assert shortened(text, 6) == line


def test_a_run_ends_with_the_account_and_so_does_one_that_is_cached(folder: Path) -> None:
    for _ in range(2):
        said = rdpt(folder, "run", "study.toml").stderr.splitlines()
        start = said.index(ACCOUNT[0])
        assert said[start : start + len(ACCOUNT)] == ACCOUNT
    with duckdb.connect(str(folder / "workspace" / "rdpt.duckdb"), read_only=True) as sql:
        counted = "SELECT num FROM accounts WHERE role = 'answer' AND became = 'not understood'"
        assert sql.execute(counted).fetchall() == [(1,)]
        spelled = "SELECT finish, finish_reason FROM origins JOIN traces USING (trace_id)"
        assert set(sql.execute(spelled).fetchall()) == {
            ("end_turn", "stop"),
            ("MAX_TOKENS", "length"),
            ("SAFETY", "content_filter"),
            ("odd", "unknown"),
        }
        reasons = "SELECT reason, count(*) FROM pool GROUP BY reason"
        assert dict(sql.execute(reasons).fetchall()) == {"eligible": 3, "content_filter": 1}
        graded = "SELECT outcome FROM grades JOIN traces USING (trace_id) WHERE finish_reason = ?"
        assert sql.execute(graded, ["content_filter"]).fetchall() == [("unparsed",)]
