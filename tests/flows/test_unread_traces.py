"""Traces that a model cannot read: their rows are errors, and the user hears why and how many."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models

from rdpt_core.tables.rows import ScoreStatus, TokenScores
from tests.core.models import tiny
from tests.flows.example_experiments import Studio, head

STUDY = (
    head("unread", student='source = "select"')
    + """
[traces]
source = "import"
path = "traces.jsonl"
delimiters = "none"
columns = { problem = "problem", trace = "trace", answer = "answer" }
[[selectors]]
name = "random"
[pool]
eligible = "all"
"""
)


def without_letters(folder: Path) -> None:
    """A tokenizer with `<unk>` for what its vocabulary lacks, and no bytes as a last resort."""
    spec = json.loads((folder / "tokenizer.json").read_text())
    spec["model"]["byte_fallback"] = False
    (folder / "tokenizer.json").write_text(json.dumps(spec))
    assert isinstance(Tokenizer.from_file(str(folder / "tokenizer.json")).model, models.BPE)


def test_a_character_outside_the_vocabulary_is_an_error_that_is_told_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.make_qwen(tmp_path / "teacher")
    without_letters(tiny.make_llama(tmp_path / "student", template=None))
    texts = ["The answer is 42.", "The answer is Ж.", "So 42 apples."]
    rows = [
        {"problem": f"How many? {n}", "answer": "42", "trace": text} for n, text in enumerate(texts)
    ]
    (tmp_path / "traces.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    studio = Studio(tmp_path, STUDY)
    studio.build()
    said = capsys.readouterr().err
    assert "warning: 1 of 3 traces have no scores under student, such as trace " in said
    assert "it has no tokens for this text" in said
    records = {r.made["model"]: r for r in studio.open().store.records("scores")}
    assert records["student"].made["errors"] == 1
    assert "'The answer is Ж.'" in records["student"].made["reasons"][0]
    assert "errors" not in records["teacher"].made
    statuses = [
        row.status for row in studio.open().store.rows(TokenScores, records["student"].part)
    ]
    assert sorted(statuses) == [ScoreStatus.ERROR, ScoreStatus.OK, ScoreStatus.OK]
