"""`rdpt segment`: texts to sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from flows.tools.tool import read_delimiters
from rdpt_core.defaults import Segmenter
from rdpt_core.files.reading import ROWS, TableReader, open_table, refuse, values
from rdpt_core.files.writing import create_table
from rdpt_core.tables.columns import schema
from rdpt_core.tables.rows import Sentence
from rdpt_core.text import segmentation
from rdpt_core.text.delimiters import Delimiters, trace_of
from rdpt_core.text.segmentation import SegmentRule


def segment(file: str, output: str, segmenter: Segmenter, delimiters: str) -> int:
    """`trace_id, text` to rows of `sentences` with the sentence's own text."""
    tags, rule = read_delimiters(delimiters), SegmentRule(name=segmenter)
    with create_table(output) as out:
        table = open_table(file)
        table.require("trace_id", "text")
        for batch in _cut(_texts(table), tags, rule):
            out.write(batch)
    return 0


def _texts(table: TableReader) -> Iterator[tuple[str, str]]:
    """The traces' ids and texts."""
    num_before = 0
    for batch in table.batches(("trace_id", "text")):
        keys, texts = values(batch.column("trace_id")), values(batch.column("text"))
        for row, (key, text) in enumerate(zip(keys, texts, strict=True), start=num_before):
            if key is None:
                refuse(table, row, "trace_id", key, "is missing: every text needs a name")
            if not isinstance(text, str):
                refuse(table, row, "text", text, 'is not text; an empty one is written as ""')
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
