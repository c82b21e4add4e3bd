"""`rdpt label`: probabilities to provenance labels."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from rdpt_core.files.reading import (
    TableReader,
    open_table,
    probabilities,
    refuse,
    values,
    with_columns,
)
from rdpt_core.files.writing import create_table
from rdpt_core.provenance import labels
from rdpt_core.provenance.labels import DIRECTIONS, LABELS, MISSING, Codes, LabelRule


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
    batch: pa.RecordBatch, table: TableReader, num_before: int, rule: LabelRule
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


def _is_four_way(batch: pa.RecordBatch, table: TableReader, num_before: int) -> bool:
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
