"""What all tools share: pipes, defaults, mistakes."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows import cli
from flows.commands.verb import Verb
from flows.verbs.tools import GradeAnswers, LabelSentences, Score, Segment, Select
from rdpt_core.grading.verdicts import GradeRule
from rdpt_core.models.spec import ModelSpec
from rdpt_core.provenance.labels import LabelRule
from rdpt_core.sources.traces import TraceSource
from rdpt_core.tables.recipe import Rule
from rdpt_core.text.segmentation import SegmentRule
from tests.conftest import ROOT
from tests.flows.tools.tables import write_rows


def test_tools_pipe(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    line = json.dumps({"trace_id": "a", "text": "One. Two."}).encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(line)))
    assert cli.main(["segment", "-", "-o", "-"]) == 0
    out = capsysbinary.readouterr().out.decode()
    assert [json.loads(row)["text"] for row in out.splitlines()] == ["One. ", "Two."]


def test_a_reader_that_leaves_is_no_fault(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "t.jsonl", {"trace_id": "a", "text": "Yes.\n" * 100_000})
    command = (
        f"{shlex.quote(sys.executable)} -m flows.cli segment {shlex.quote(str(file))} -o - "
        "| head -n 1; echo ${PIPESTATUS[0]}"
    )
    ran = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout.splitlines()[1:] == ["141"]
    assert ran.stderr == ""


MISTAKES: dict[str, tuple[dict[str, Any], list[str], str]] = {
    "segment": ({"text": "x"}, [], "no column trace_id: needed are trace_id, text; found are text"),
    "label": ({"p_teacher": 0.5}, [], "no column p_student"),
    "grade": ({"gold": "x"}, [], "no column pred"),
    "score": (
        {"trace_id": "a", "prompt": "x", "text": "x"},
        ["--model", "./nowhere"],
        "there is no such folder",
    ),
}


@pytest.mark.parametrize("verb", MISTAKES)
def test_a_mistake_exits_2_and_leaves_nothing(
    tmp_path: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    row, more, message = MISTAKES[verb]
    file = write_rows(tmp_path / "in.jsonl", row)
    assert cli.main([verb, file, *more, "-o", str(tmp_path / "out.parquet")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.mark.parametrize(
    ("verb", "option", "rule", "field"),
    [
        (Segment, "segmenter", SegmentRule, "name"),
        (Segment, "delimiters", TraceSource, "delimiters"),
        (GradeAnswers, "delimiters", TraceSource, "delimiters"),
        (GradeAnswers, "grader", GradeRule, "grader"),
        (LabelSentences, "alpha", LabelRule, "alpha"),
        (LabelSentences, "beta", LabelRule, "beta"),
        (Select, "beta", LabelRule, "beta"),
        (Score, "dtype", ModelSpec, "dtype"),
    ],
)
def test_an_option_has_the_default_of_the_rule_behind_it(
    verb: type[Verb], option: str, rule: type[Rule], field: str
) -> None:
    assert verb.model_fields[option].default == rule.model_fields[field].default


def test_tools_need_neither_prefect_nor_mlflow(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "p.jsonl", {"p_teacher": 0.5, "p_student": 0.5})
    code = (
        f"import sys; from flows import cli; cli.main(['label', {file!r}, '-o', '-']); "
        "print([name for name in ('prefect', 'mlflow', 'duckdb') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout.splitlines()[-1] == "[]"
