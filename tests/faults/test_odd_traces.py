"""Odd traces of others go through every stage and are counted, with a status where one is due."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flows.workspace import Opened, open_file
from rdpt_core.sources.traces import TraceSource
from rdpt_core.tables.rows import ROWS
from settings.runtime import Runtime
from tasks import sources
from tasks.plan import Plan
from tasks.worker import Worker
from tests.core.models import tiny
from tests.stages.toy_stages import Journal

STUDY = """
name = "odd"
traces = { source = "import", path = "traces.jsonl" }
teachers = [{ name = "t", path = "model" }]
students = [{ name = "s", path = "model", source = "select" }]
selectors = [{ name = "teacher_count" }]
grading = { grader = "exact" }
pool = { eligible = "all" }
"""

# name: the trace as its file has it; the zones of its sentences; its scores; its grade; the
# reasons why sentences have no label ("" where they have one).
ODD: dict[str, tuple[str, list[str], str, str, set[str]]] = {
    "plain": (
        "<think>\nA.\n</think>\n\n2",
        ["tag", "thought", "tag", "answer"],
        "ok",
        "correct",
        {""},
    ),
    "empty": ("", [], "ok", "unparsed", set()),
    "white space alone": (" \n\t", ["answer"], "ok", "unparsed", {""}),
    "never closed": ("<think>\nOne. Two", ["tag", "thought", "thought"], "ok", "unparsed", {""}),
    "closed, never opened": (
        "A.\n</think>\n\n2",
        ["thought", "tag", "answer"],
        "ok",
        "correct",
        {""},
    ),
    "opened in the middle": (
        "So. <think>A.</think>2",
        ["answer", "tag", "thought", "tag", "answer"],
        "ok",
        "wrong",
        {""},
    ),
    "opened again": (
        "<think>A <think> b.</think>2",
        ["tag", "thought", "tag", "answer"],
        "ok",
        "correct",
        {""},
    ),
    "nothing inside": ("<think></think>2", ["tag", "tag", "answer"], "ok", "correct", {""}),
    "a lone surrogate": ("A \ud800. B.", ["answer", "answer"], "ok", "wrong", {""}),
    "NUL": ("A\x00. B.\x00", ["answer", "answer"], "ok", "wrong", {""}),
    "a wide space": ("See A\u00a0. B.", ["answer"], "ok", "wrong", {""}),
    "past the limit": ("One more. " * 200, ["answer"] * 200, "partial", "wrong", {"", "partial"}),
    "a line of 1 MB": ("$x$ " * 250_000, ["answer"], "partial", "wrong", {"partial"}),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    folder = tmp_path_factory.mktemp("odd")
    tiny.make_qwen(folder / "model")
    lines = [
        json.dumps({"problem": f"How much is it? {name}", "answer": "2", "id": name, "trace": text})
        for name, (text, *_) in ODD.items()
    ]
    (folder / "traces.jsonl").write_text("\n".join([*lines, '{"problem": "cut off', "[]"]) + "\n")
    (folder / "study.toml").write_text(STUDY)
    runtime = Runtime(workspace=folder / "workspace", threads=1)
    opened = open_file(folder / "study.toml", runtime)
    for table in opened.study.tables():
        if not Plan(opened.store).state(table).complete:
            Worker(Plan(opened.store), opened.runtime, Journal()).build(table)
    return opened


def rows(opened: Opened, table: str) -> list[Any]:
    """All rows of a table; every scorer's, where several have one."""
    source, block = opened.experiment.traces, opened.experiment.part_size
    assert isinstance(source, TraceSource)
    tables = [*opened.study.tables(), *sources.aside(source, block, opened.base)]
    plan = Plan(opened.store)
    parts = [part for each in tables if each.name == table for part in plan.state(each).parts]
    (kind,) = (row for row in ROWS if table == row.TABLE)
    return [row for part in dict.fromkeys(parts) for row in opened.store.rows(kind, part)]


def of(opened: Opened, table: str, name: str) -> list[Any]:
    (trace,) = (trace for trace in rows(opened, "traces") if trace.source_id == name)
    return [row for row in rows(opened, table) if row.trace_id == trace.trace_id]


@pytest.mark.fault("F30", "F33")
@pytest.mark.parametrize("name", ODD)
def test_an_odd_trace_is_counted_at_every_stage(built: Opened, name: str) -> None:
    text, zones, status, grade, reasons = ODD[name]
    (trace,) = of(built, "traces", name)
    assert trace.text == text.replace("\ud800", "\ufffd")
    sentences = of(built, "sentences", name)
    assert [sentence.zone.value for sentence in sentences] == zones
    assert sum(s.stop - s.start for s in sentences) == len(trace.text.encode())
    (score,) = of(built, "scores", name)
    assert score.status.value == status
    assert [row.outcome.value for row in of(built, "grades", name)] == [grade]
    labels = of(built, "provenance", name)
    assert len(labels) == len([zone for zone in zones if zone != "tag"])
    assert {row.reason or "" for row in labels} == reasons
    assert all((row.label is None) == (row.reason is not None) for row in labels)
    assert len(of(built, "pool", name)) == 1


def test_rows_that_are_no_traces_are_rejects_as_they_were(built: Opened) -> None:
    found = rows(built, "rejects")
    assert [row.raw[:9] for row in found if not row.reason.startswith("used")] == [
        b'{"problem',
        b"[]",
    ]
    (used,) = (row for row in found if row.reason.startswith("used"))
    assert json.loads(used.raw)["trace"] == ODD["a lone surrogate"][0]


def test_every_row_of_the_file_is_a_trace_or_a_reject(built: Opened) -> None:
    assert sorted(trace.source_id for trace in rows(built, "traces")) == sorted(ODD)
