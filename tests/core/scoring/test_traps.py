"""Every trap of teacher-forced scoring has a test that is named after it, and a row in the docs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TRAPS = {
    "T1": "a template rewrites or deletes the trace",
    "T2": "the generation prefix differs per family",
    "T3": "the response is cut out by length",
    "T4": "templates insert an empty thought",
    "T5": "a field for the thought is ignored",
    "T6": "templates change afterwards",
    "T7": "channels of gpt-oss",
    "T8": "templates embed today's date",
    "T9": "default system prompts",
    "T10": "double or missing BOS",
    "T11": "off by one",
    "T12": "prompt and response merge",
    "T13": "tokens straddle sentences",
    "T14": "the leading space's mass",
    "T15": "offsets overlap on multi-byte characters",
    "T16": "control tokens inside the text",
    "T17": "sampled ids are not the re-encoded text",
    "T18": "vocabulary padding",
    "T19": "trailing end of turn",
    "T20": "bfloat16 softmax",
    "T21": "batches change logits",
    "T22": "batch-invariant modes are no guarantee",
    "T23": "the geometric mean saturates",
    "T24": "quantised models are other distributions",
    "T25": "prefix caching with prompt log-probabilities",
    "T26": "raw against processed log-probabilities",
    "T27": "top k plus the actual token",
    "T28": "engines want one generated token",
    "T29": "silent truncation",
    "T30": "memory of full logits",
    "T31": "left padding",
    "T32": "packing leaks",
    "T33": "windows are not the whole context",
    "T33a": "a missing score is not zero",
    "T33b": "re-assembled traces",
    "T33c": "dilution by sentence length",
    "T34": "splitters destroy text",
    "T35": "positions across lengths",
    "T36": "sampling conditions the labels",
    "T37": "token means across tokenizers",
    "T38": "contamination",
    "T39": "limits of MLflow",
    "T40": "Prefect's cache",
    "T41": "an echo shifted by one",
    "T44": "sampling parameters that a request leaves out",
    "T45": "added tokens that are not special",
    "T46": "a probe whose marker is missing",
    "T47": "what the shell exports",
}
NAMED = re.compile(r"test_((?:t\d+[a-c]?_)+)")
ROW = re.compile(r"^\| (T\d+[a-c]?) \|.*`(test_\w+)` \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def tests() -> set[str]:
    """Names of all test functions of the tree."""
    files = Path(__file__).parents[2].rglob("test_*.py")
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in files)
    return {
        node.name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def ids_of(test: str) -> set[str]:
    """Traps that a name carries: `test_t21_t31_...` is a test of both."""
    found = NAMED.match(test)
    parts = found.group(1).strip("_").split("_") if found else []
    return {f"T{part[1:]}" for part in parts}


@pytest.mark.parametrize("trap", TRAPS)
def test_every_trap_has_a_test_of_its_name(trap: str, tests: set[str]) -> None:
    assert any(trap in ids_of(test) for test in tests), TRAPS[trap]


def test_names_carry_no_unknown_trap(tests: set[str]) -> None:
    assert {trap for test in tests for trap in ids_of(test)} <= TRAPS.keys()


def test_the_table_of_the_docs_names_tests_that_exist(tests: set[str], root: Path) -> None:
    rows = ROW.findall((root / "docs" / "scoring.md").read_text(encoding="utf-8"))
    assert [trap for trap, _ in rows] == list(TRAPS)
    named = {trap: [test for test in tests if trap in ids_of(test)] for trap in TRAPS}
    assert [name for trap, name in rows if not any(t.startswith(name) for t in named[trap])] == []
