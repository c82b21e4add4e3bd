"""Traces that somebody else made: candidates of problems, one or several in a row.

Candidates of a problem may be scattered over a file of any size. So a first pass notes where each
problem's rows are, and a second reads them block by block; no more than one block is in memory.
`trace_rows.py` makes problem and traces of one row.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import Field, field_validator, model_validator

from rdpt_core.defaults import DELIMITERS
from rdpt_core.files.opening import open_records, stem_of
from rdpt_core.files.records import BadTable, SourceRow, SourceRows
from rdpt_core.sources.account import PROBLEM, ROW, TRACE, Ledger, ValueNotes, reject, replaced
from rdpt_core.sources.companion import Companion, CompanionSource
from rdpt_core.sources.hub import HubSet, open_hub
from rdpt_core.sources.naming import TraceColumns, by_role, names_of, trace_columns
from rdpt_core.sources.problems import MOST_BYTES
from rdpt_core.sources.trace_rows import ImportedTrace, TraceReader, TraceRow
from rdpt_core.tables import ids
from rdpt_core.tables.recipe import Rule
from rdpt_core.tables.rows import Origin, Problem, Reject, Trace
from rdpt_core.text.delimiters import Delimiters, named_delimiters


class TraceSource(Rule):
    """A set of traces: a file or folder, or a data set of the hub."""

    path: str | None = None
    """A file, a folder of shards or of `save_to_disk`, relative to the experiment's folder."""
    hub: str | None = None
    """A hub id, instead of `path`."""
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    name: str | None = None
    """Part of the ids of its problems; by default the file's stem or the hub id."""
    columns: TraceColumns = TraceColumns()
    delimiters: str | Delimiters = DELIMITERS
    """What marks the thought: `<think>`, `<|begin_of_thought|>`, `none`, another opening tag, or
    the tags themselves."""
    companion: CompanionSource | None = None
    """Another data set with the traces' token ids and log-probabilities, joined by id."""
    limit: int | None = Field(default=None, ge=1)
    """The first so many problems."""
    candidates: int | None = Field(default=None, ge=1)
    """At most so many traces for each problem, the first ones."""

    @field_validator("delimiters")
    @classmethod
    def _known(cls, delimiters: str | Delimiters) -> str | Delimiters:
        if isinstance(delimiters, str):
            named_delimiters(delimiters)
        return delimiters

    @model_validator(mode="after")
    def _one_place(self) -> TraceSource:
        if (self.path is None) == (self.hub is None):
            raise ValueError("give `path` or `hub`, one of them")
        return self

    @property
    def label(self) -> str:
        return self.name or (stem_of(self.path) if self.path else str(self.hub))

    @property
    def tags(self) -> Delimiters:
        named = self.delimiters
        return named_delimiters(named) if isinstance(named, str) else named

    def records(self, base: Path) -> SourceRows:
        if self.path:
            return open_records(base / self.path, self.split)
        return open_hub(self.hub_set)

    @property
    def hub_set(self) -> HubSet:
        return HubSet("hub", str(self.hub), self.config, self.split, self.revision)


@dataclass(frozen=True, slots=True)
class ImportBlock:
    """One part's worth of problems with all their traces."""

    problems: tuple[Problem, ...]
    traces: tuple[tuple[Trace, ...], ...]
    """`traces[k]` are the candidates of index k, in the order of the problems."""
    rejects: tuple[Reject, ...]
    origins: tuple[Origin, ...] = ()


def import_blocks(
    source: TraceSource, part_size: int, base: Path = Path(), ledger: Ledger | None = None
) -> Iterator[ImportBlock]:
    """Problems in order of their first row, `part_size` at a time.

    A reject goes with the block that was being filled when its row was read, so the last block may
    hold rejects alone; so do blocks that follow where rejects would fill the memory. `ledger`
    counts what becomes of the rows while the blocks are made.

    Raises BadTable where the file or one of its columns is missing.
    """
    ledger = ledger or Ledger()
    reader, records = open_import(source, base, ledger)
    index = _indexed(reader, records, ledger, part_size, source.limit)
    keys = list(index.places)
    num_blocks = max([-(-len(keys) // part_size), *(number + 1 for number in index.rejects)])
    for number in range(num_blocks):
        block = keys[number * part_size : (number + 1) * part_size]
        built = _built(reader, records, index, block, source.candidates)
        ledger.count(PROBLEM, "used", num=len(built.problems))
        ledger.count(TRACE, "used", num=sum(map(len, built.traces)))
        groups = _rejects(source.label, records, index.rejects.get(number, []))
        yield replace(built, rejects=next(groups, ()))
        for rejects in groups:
            yield ImportBlock((), (), rejects)


def open_import(source: TraceSource, base: Path, ledger: Ledger) -> tuple[TraceReader, SourceRows]:
    """The reader of an import's rows, and the rows. Raises BadTable."""
    records = source.records(base)
    columns = import_columns(source, records)
    ledger.columns = by_role(columns)
    if columns.thought is None and source.tags.open:
        ledger.columns["thought"] = f"inside {source.tags.open}"
    companion = Companion(source.companion, base, ledger) if source.companion else None
    if companion and source.companion and columns.token_ids is None:
        ledger.columns["token_ids"] = f"{source.companion.token_ids} of the companion"
    return TraceReader(source.label, source.split, columns, source.tags, companion), records


def import_columns(source: TraceSource, records: SourceRows) -> TraceColumns:
    """The columns of an import. Raises BadTable where one is missing, or thoughts have no tags."""
    columns = trace_columns(source.columns, names_of(records))
    if columns.thought and not source.tags.open:
        raise BadTable(
            f"column {columns.thought!r} holds thoughts, and without delimiters they cannot be "
            'joined to their answers: set delimiters = "<think>", or rename the column'
        )
    if source.companion and columns.id is None:
        raise BadTable("a companion is joined by id: say which column with columns = { id = ... }")
    return columns


@dataclass(slots=True)
class _Index:
    """What the first pass keeps of each problem, in order of first appearance."""

    places: dict[str, array[int]] = field(default_factory=dict)
    answers: dict[str, str | None] = field(default_factory=dict)
    """The first that a row gives."""
    rejects: dict[int, list[tuple[int, int, str]]] = field(default_factory=dict)
    """Place, item and reason, by the number of the block that was being filled."""


def _indexed(
    reader: TraceReader, records: SourceRows, ledger: Ledger, part_size: int, limit: int | None
) -> _Index:
    index = _Index()
    for record in records.scan():
        fault = _noted(reader, record, index, ledger, limit)
        if fault:
            block = index.rejects.setdefault(len(index.places) // part_size, [])
            block.append((record.place, record.item, fault))
    return index


def _noted(
    reader: TraceReader, record: SourceRow, index: _Index, ledger: Ledger, limit: int | None
) -> str | None:
    """Notes a row; why it is not used, or not as it was."""
    notes = ValueNotes()
    try:
        if record.fault:
            raise ValueError(record.fault)
        row = reader.row(record.values, notes)
    except ValueError as error:
        ledger.rejected(str(error))
        return str(error)
    key = row.problem.problem_id
    if key not in index.places and limit is not None and len(index.places) >= limit:
        ledger.count(ROW, "beyond the limit")
    else:
        index.places.setdefault(key, array("q")).append(record.place)
        _first_answer(index, row.problem, notes)
        ledger.add(notes)
    return "; ".join(filter(None, (replaced(record), row.without))) or None


def _first_answer(index: _Index, problem: Problem, notes: ValueNotes) -> None:
    """The first answer of a problem counts; another one is noted as such."""
    first = index.answers.get(problem.problem_id)
    if first is None:
        index.answers[problem.problem_id] = problem.answer
    elif problem.answer not in (None, first):
        notes.entries.remove(("answer", "used", None))
        notes.entries.append(("answer", "contradicts an earlier row", problem.answer))


def _rejects(
    label: str, records: SourceRows, noted: Sequence[tuple[int, int, str]]
) -> Iterator[tuple[Reject, ...]]:
    """The rows that were noted, read again, so many at a time as fit the memory."""
    found: list[Reject] = []
    num_bytes = 0
    places = [place for place, _, _ in noted]
    for (_, item, reason), record in zip(noted, records.fetch(places), strict=True):
        row = reject(label, record._replace(item=item), reason)
        assert row is not None
        found.append(row)
        num_bytes += len(row.raw)
        if num_bytes > MOST_BYTES:
            yield tuple(found)
            found, num_bytes = [], 0
    if found:
        yield tuple(found)


def _built(
    reader: TraceReader,
    records: SourceRows,
    index: _Index,
    keys: Sequence[str],
    most: int | None,
) -> ImportBlock:
    """The problems and traces of one block."""
    rows: dict[str, list[TraceRow]] = {key: [] for key in keys}
    places = sorted(place for key in keys for place in index.places[key])
    for record in records.fetch(places):
        row = reader.row(record.values, ValueNotes())
        rows[row.problem.problem_id].append(row)
    problems = tuple(replace(rows[key][0].problem, answer=index.answers[key]) for key in keys)
    per_problem = [_numbered(rows[key], most) for key in keys]
    widest = max(map(len, per_problem), default=0)
    traces = tuple(tuple(c[k].trace for c in per_problem if k < len(c)) for k in range(widest))
    origins = tuple(c.origin for of_one in per_problem for c in of_one if c.origin)
    return ImportBlock(problems, traces, (), origins)


def _numbered(rows: Sequence[TraceRow], most: int | None) -> list[ImportedTrace]:
    """The candidates of one problem with their indices, in an order that follows from their
    content, so that a shuffled file gives the same rows."""
    copies: Counter[str] = Counter()
    found = [imported for row in rows for imported in row.imported]
    found.sort(key=lambda one: (one.trace.trace_id, one.trace.source_id or ""))
    numbered = []
    for sample_index, one in enumerate(found[:most]):
        trace, copy = one.trace, copies[one.trace.trace_id]
        copies[trace.trace_id] += 1
        own = ids.imported_trace_id(trace.problem_id, trace.author, trace.text, copy)
        numbered.append(one.numbered(own, sample_index))
    return numbered
