"""The first rows of a source as they will be read, so that a person sees a wrong column at once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from rdpt_core.files.records import SourceRow
from rdpt_core.sources.account import Ledger, ValueNotes, shortened
from rdpt_core.sources.problems import FileSource, HubSource, Reader
from rdpt_core.sources.trace_rows import TraceReader
from rdpt_core.sources.traces import TraceSource, open_import
from rdpt_core.tables.rows import Trace, ZoneKind

_NUM_ROWS = 3
Fields = dict[str, str | None]
"""What a row gives, by name; None where it gives nothing."""


def preview(
    source: TraceSource | FileSource | HubSource, base: Path, width: int = 80
) -> Iterator[str]:
    """The first rows as lines of at most `width` columns, those that are rejected with the reason.

    Nothing in a row reaches the terminal unescaped. Raises BadTable.
    """
    reader: TraceReader | Reader
    if isinstance(source, TraceSource):  # without the companion, whose ids would all be read first
        alone = source.model_copy(update={"companion": None})
        reader, records = open_import(alone, base, Ledger())
    else:
        reader = Reader(source, records := source.records(base))
    for record in islice(records.scan(), _NUM_ROWS):
        start = f"row {record.item + 1}"
        for name, text in _fields(reader, record).items():
            shown = "-" if text is None else text[: 2 * width]
            yield shortened(f"  {start:<7} {name:<8} {shown}", width)
            start = ""


def _fields(reader: TraceReader | Reader, record: SourceRow) -> Fields:
    try:
        if record.fault:
            raise ValueError(record.fault)
        if isinstance(reader, Reader):
            problem = reader.problem(record.values, ValueNotes())
            return {"problem": problem.prompt, "gold": problem.answer}
        row = reader.row(record.values, ValueNotes())
    except ValueError as error:
        return {"rejected": str(error)}
    traces = [one.trace for one in row.imported]
    more = {"more": f"{len(traces) - 1} other traces of this row"} if len(traces) > 1 else {}
    return {
        "problem": row.problem.prompt,
        "thought": _zone(traces[0], ZoneKind.THOUGHT),
        "answer": _zone(traces[0], ZoneKind.ANSWER),
        "gold": row.problem.answer,
        "finish": traces[0].finish_reason.value,
        **more,
    }


def _zone(trace: Trace, kind: ZoneKind) -> str | None:
    data = trace.text.encode()
    found = [data[zone.start : zone.stop].decode() for zone in trace.zones if zone.kind is kind]
    return " ".join(found) or None
