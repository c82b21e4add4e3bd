"""One step of the method on somebody's own files: tables in, tables out, no workspace.

Every tool reads and writes a bounded piece at a time, and leaves either a whole file or none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import pyarrow as pa

from rdpt_core.files.reading import (
    ROWS,
    Table,
    open_table,
    probabilities,
    refuse,
    values,
    with_columns,
)
from rdpt_core.files.writing import create_table
from rdpt_core.grading import verdicts
from rdpt_core.grading.verdicts import GradeRule
from rdpt_core.models.rendering.delimiters import Delimiters, named_delimiters
from rdpt_core.provenance import labels
from rdpt_core.provenance.labels import DIRECTIONS, LABELS, MISSING, Codes, LabelRule
from rdpt_core.sources.golds import gold_text
from rdpt_core.tables.columns import schema
from rdpt_core.tables.rows import FinishReason, Grade, Problem, Sentence, Trace
from rdpt_core.text import segmentation
from rdpt_core.text.segmentation import SegmentRule
from settings.loading import BadSettings
from tasks.progress import say


def segment(
    file: str, output: str, segmenter: Literal["maths", "regex", "lines"], delimiters: str
) -> int:
    """`trace_id, text` to rows of `sentences` with the sentence's own text."""
    tags, rule = _tags(delimiters), SegmentRule(name=segmenter)
    with create_table(output) as out:
        table = open_table(file)
        table.require("trace_id", "text")
        for batch in _cut(_texts(table), tags, rule):
            out.write(batch)
    return 0


def _texts(table: Table) -> Iterator[tuple[str, str]]:
    """The traces' ids and texts."""
    num_before = 0
    for batch in table.batches(("trace_id", "text")):
        keys, texts = values(batch.column("trace_id")), values(batch.column("text"))
        for row, (key, text) in enumerate(zip(keys, texts, strict=True), start=num_before):
            if key is None:
                refuse(table, row, "trace_id", key, "is missing: every text needs a name")
            if not isinstance(text, str):
                refuse(table, row, "text", text, 'is no text; an empty one is written as ""')
            yield str(key), text
        num_before += batch.num_rows


def _cut(
    traces: Iterable[tuple[str, str]], tags: Delimiters, rule: SegmentRule
) -> Iterator[pa.RecordBatch]:
    rows: list[Sentence] = []
    texts: list[str] = []
    for key, text in traces:
        data = text.encode()
        for row in segmentation.segment(trace_of(key, "", text, tags), rule):
            rows.append(row)
            texts.append(data[row.start : row.stop].decode())
        if len(rows) >= ROWS:
            yield _sentences(rows, texts)
            rows, texts = [], []
    yield _sentences(rows, texts)


def _sentences(rows: Sequence[Sentence], texts: Sequence[str]) -> pa.RecordBatch:
    fields = list(schema(Sentence))
    columns = [pa.array([getattr(row, field.name) for row in rows], field.type) for field in fields]
    return pa.record_batch(
        [*columns, pa.array(texts, pa.string())],
        schema=pa.schema([*fields, pa.field("text", pa.string(), nullable=False)]),
    )


def trace_of(trace_id: str, problem_id: str, text: str, tags: Delimiters) -> Trace:
    """A text of which nothing else is known; it is not known to have ended."""
    return Trace(
        trace_id=trace_id,
        problem_id=problem_id,
        author="",
        sample_index=0,
        text=text,
        zones=tags.zones(text),
        finish_reason=FinishReason.UNKNOWN,
        num_tokens=None,
        token_ids=None,
        logprobs=None,
        sampled_logprobs=None,
        seed=None,
        source_id=None,
    )


def _tags(delimiters: str) -> Delimiters:
    try:
        return named_delimiters(delimiters)
    except ValueError as error:
        raise BadSettings("--delimiters", [str(error)]) from error


def label(file: str, output: str, alpha: float, beta: float) -> int:
    """`p_teacher, p_student[, p_distilled]` get `label`, `direction` and `margin`."""
    rule = LabelRule(alpha=alpha, beta=beta)
    with create_table(output) as out:
        table = open_table(file)
        table.require("p_teacher", "p_student")
        num_before = 0
        for batch in table.batches():
            out.write(_labelled(batch, table, num_before, rule))
            num_before += batch.num_rows
    return 0


def _labelled(
    batch: pa.RecordBatch, table: Table, num_before: int, rule: LabelRule
) -> pa.RecordBatch:
    four_way = _is_four_way(batch, table, num_before)
    p_teacher, p_student = (
        probabilities(batch, name, table, num_before) for name in ("p_teacher", "p_student")
    )
    p_distilled = probabilities(batch, "p_distilled", table, num_before) if four_way else None
    found = labels.label(p_teacher, p_student, p_distilled, rule)
    read = {"p_teacher": p_teacher, "p_student": p_student, "p_distilled": p_distilled}
    added = {  # cells of a CSV file leave as the numbers that they were read as
        name: pa.array(p, from_pandas=True)
        for name, p in read.items()
        if p is not None and pa.types.is_string(batch.column(name).type)
    }
    added |= {
        "label": _named(found.label, LABELS),
        "direction": _named(found.direction, DIRECTIONS),
        "margin": pa.array(found.margin, from_pandas=True),  # NaN is NULL
    }
    return with_columns(batch, added)


def _is_four_way(batch: pa.RecordBatch, table: Table, num_before: int) -> bool:
    """All rows of a table are, or none: a JSONL file may have the column from a later piece on."""
    four_way = "p_distilled" in table.names
    if not four_way and "p_distilled" in batch.schema.names:
        found = values(batch.column("p_distilled"))
        row = next((row for row, p in enumerate(found) if p is not None), 0)
        refuse(
            table,
            num_before + row,
            "p_distilled",
            found[row],
            "begins late: earlier rows have three-way labels, so give all rows p_distilled (null "
            "where it is not known) or none",
        )
    return four_way


def _named(codes: Codes, names: Sequence[str]) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(codes, mask=codes == MISSING))


def grade(
    file: str, output: str, grader: Literal["math", "choice", "exact"], delimiters: str
) -> int:
    """`gold, pred` get `outcome` and `extracted`."""
    tags, rule = _tags(delimiters), GradeRule(grader=grader)
    with create_table(output) as out:
        table = open_table(file)
        table.require("gold", "pred")
        odd: list[str] = []
        for batch in table.batches():
            out.write(_graded(batch, tags, rule, odd))
    if odd:
        say(f"{len(odd)} golds are not understood, and their rows ungraded: {odd[0]}")
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
