"""`rdpt lineage` as its reader meets it: words, rows, JSON."""

from __future__ import annotations

import json

import pytest

from flows.workspace import Opened
from tests.flows.recorded_requests import output_of, refused

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def answer(study: Opened, capsys: Capture) -> str:
    sql = "SELECT trace_id FROM answers WHERE name = 'random' ORDER BY trace_id LIMIT 1"
    found: str = json.loads(output_of(capsys, "sql", sql, "--json"))[0]["trace_id"]
    return found


def test_a_pipe_gets_every_selected_trace(study: Opened, capsys: Capture, answer: str) -> None:
    shown = output_of(capsys, "lineage", answer, "study", "--configuration", "random")
    head, _, table = shown.partition("\n\n")
    assert f"trace     {answer}" in head
    assert "of        random, test:bench" in head
    lines = table.splitlines()
    assert lines[0].split()[:3] == ["trace", "problem", "merit"]
    assert f"trained on {len(lines) - 1} traces" in head


def test_a_sentence_is_said_to_be_similar_and_not_caused(
    study: Opened, capsys: Capture, answer: str
) -> None:
    shown = output_of(
        capsys, "lineage", answer, "study", "--configuration", "random", "--sentence", "1"
    )
    assert "sentence 1" in shown
    assert "similarity, not cause" in shown or "shares three consecutive words" in shown


def test_json_has_the_same_with_whole_ids(study: Opened, capsys: Capture, answer: str) -> None:
    asked = ("lineage", answer[:20], "study", "--configuration", "random")
    found = json.loads(output_of(capsys, *asked, "--json"))
    assert found["trace_id"] == answer
    assert found["sentence"] is None
    assert found["nearest"] == []
    assert {"rank", "merit", "candidates", "teacher"} <= found["training"][0].keys()


@pytest.mark.usefixtures("study")
def test_a_mistake_exits_2(capsys: Capture) -> None:
    assert "no trace begins with 'zz'" in refused(capsys, "lineage", "zz")
    assert "--sentence 0" in refused(capsys, "lineage", "zz", "--sentence", "0")
