"""`rdpt segment`: sentences that join to their text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows import cli
from tests.flows.tools.tables import rows_of_tool, write_rows

TRACE = "Hm <think>\nLet x = 1.5. Then é = 2.\n\nSo 🙂.\n</think>\n\nThe answer is 2."


@pytest.mark.parametrize("segmenter", ["maths", "regex", "lines"])
@pytest.mark.parametrize("delimiters", ["none", "<think>"])
def test_sentences_join_to_their_text(tmp_path: Path, segmenter: str, delimiters: str) -> None:
    file = write_rows(
        tmp_path / "t.jsonl", {"trace_id": "a", "text": TRACE}, {"trace_id": 7, "text": ""}
    )
    rows = rows_of_tool(
        "segment",
        file,
        "--segmenter",
        segmenter,
        "--delimiters",
        delimiters,
        "-o",
        str(tmp_path / "s.jsonl"),
    )
    assert "".join(row["text"] for row in rows) == TRACE
    assert {row["trace_id"] for row in rows} == {"a"}
    assert [row["position"] for row in rows] == list(range(len(rows)))
    for row in rows:
        assert TRACE.encode()[row["start"] : row["stop"]].decode() == row["text"]
    zones = {"answer"} if delimiters == "none" else {"answer", "tag", "thought"}
    assert {row["zone"] for row in rows} == zones


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"trace_id": "a", "text": None}, "row 1: text None is not text"),
        ({"trace_id": "a", "text": 5}, "row 1: text 5 is not text"),
        ({"trace_id": None, "text": "x"}, "row 1: trace_id None is missing"),
    ],
)
def test_a_row_that_cannot_be_cut_is_named(
    tmp_path: Path, row: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_rows(tmp_path / "t.jsonl", row)
    assert cli.main(["segment", file, "-o", str(tmp_path / "s.csv")]) == 2
    assert message in capsys.readouterr().err


def test_unknown_delimiters_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_rows(tmp_path / "t.jsonl", {"trace_id": "a", "text": "x"})
    assert cli.main(["segment", file, "--delimiters", "think", "-o", "-"]) == 2
    assert "--delimiters:\n  delimiters 'think' is not known" in capsys.readouterr().err
