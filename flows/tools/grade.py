"""`rdpt grade`: model outputs to verdicts."""

from __future__ import annotations

import json
import os
from typing import Any

import pyarrow as pa

from flows.tools.tool import read_delimiters
from rdpt_core.defaults import AnswerGrader
from rdpt_core.files.reading import open_table, values, with_columns
from rdpt_core.files.writing import create_table
from rdpt_core.grading import verdicts
from rdpt_core.grading.verdicts import GradeRule
from rdpt_core.sources.golds import gold_text
from rdpt_core.tables.columns import schema
from rdpt_core.tables.rows import Grade, Problem
from rdpt_core.text.delimiters import Delimiters, trace_of
from tasks.progress import say


def grade(file: str, output: str, grader: AnswerGrader, delimiters: str) -> int:
    """`gold, pred` get `outcome` and `extracted`."""
    tags, rule = read_delimiters(delimiters), GradeRule(grader=grader)
    with create_table(output) as out:
        table = open_table(file)
        table.require("gold", "pred")
        odd: list[str] = []
        for batch in table.batches():
            out.write(_graded(batch, tags, rule, odd))
    if odd:
        say(
            f"warning: {len(odd)} gold answers cannot be read, so their rows are ungraded; "
            f"the first: {odd[0]}"
        )
    return 0


def _graded(
    batch: pa.RecordBatch, tags: Delimiters, rule: GradeRule, odd: list[str]
) -> pa.RecordBatch:
    golds = [_gold(value, odd) for value in values(batch.column("gold"))]
    preds = [_as_text(value) for value in values(batch.column("pred"))]
    rows = [str(row) for row in range(batch.num_rows)]
    problems = [
        # An output that is missing has no verdict, whatever the right answer is.
        Problem(row, "", "", "", "", answer=None if pred is None else gold)
        for row, gold, pred in zip(rows, golds, preds, strict=True)
    ]
    traces = [trace_of(row, row, pred or "", tags) for row, pred in zip(rows, preds, strict=True)]
    found = list(verdicts.grade(problems, traces, rule, num_workers=os.cpu_count() or 1))
    names = ("outcome", "extracted")
    kinds = {field.name: field.type for field in schema(Grade)}
    return with_columns(
        batch,
        {name: pa.array([getattr(one, name) for one in found], kinds[name]) for name in names},
    )


def _gold(value: Any, odd: list[str]) -> str | None:
    """The gold as a run reads it; one that is not understood is none, and noted."""
    try:
        return gold_text(value)
    except ValueError as error:
        odd.append(str(error))
        return None


def _as_text(value: Any) -> str | None:
    """An output as text; one that is a number, a truth value or a list is written as a gold is."""
    if value is None or isinstance(value, str):
        return value
    try:
        return gold_text(value) or ""
    except ValueError:
        return json.dumps(value, ensure_ascii=False, default=str)
