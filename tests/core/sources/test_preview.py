"""The first rows of a source, as they will be read."""

from __future__ import annotations

from pathlib import Path

from rdpt_core.sources.preview import preview
from rdpt_core.sources.traces import TraceSource
from tests.core.sources.test_trace_rows import Row, read


def test_a_preview_shows_rows_as_they_are_read_and_escapes_them(tmp_path: Path) -> None:
    odd = "\x1b[31m\u202e" + "y" * 200
    rows: list[Row] = [
        {"problem": odd, "trace": "<think>Hm.</think>A\nB", "answer": 7, "finish_reason": "STOP"},
        {"problem": "", "trace": "x"},
        {"problem": "Q", "trace": ["A", "B"]},
        {"problem": "never shown", "trace": "x"},
    ]
    read(tmp_path, *rows)
    said = list(preview(TraceSource(path="set.jsonl"), tmp_path))
    assert all(len(line) <= 80 and line.isprintable() for line in said)
    assert said[0].startswith("  row 1   problem  \\x1b[31m\\u202eyyy")
    assert said[1:6] == [
        "          thought  Hm.",
        "          answer   A\\nB",
        "          gold     7",
        "          finish   stop",
        "  row 2   rejected no problem text in 'problem'",
    ]
    assert said[-1] == "          more     1 other traces of this row"
