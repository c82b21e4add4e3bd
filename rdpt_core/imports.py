"""Traces that somebody else made: one row is one candidate, several belong to one problem.

Candidates of a problem may be scattered over a file of any size. So a first pass notes where each
problem's rows are, and a second reads them block by block; no more than one block is in memory.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from rdpt_core import ids
from rdpt_core.benchmarks import ProblemColumns, found_columns, make_problem, reject, replaced
from rdpt_core.models.delimiters import Delimiters, named_delimiters
from rdpt_core.recipe import Rule
from rdpt_core.records import HubRows, Records, Values, choose_column, open_records, value_at
from rdpt_core.rows import FinishReason, Problem, Reject, Trace


class TraceColumns(ProblemColumns):
    """Which column holds what, where the well-known names do not fit. `id` is the trace's."""

    trace: str | None = None
    model: str | None = None
    finish: str | None = None
    """`stop` or `length`; anything else is unknown."""
    token_ids: str | None = None
    logprobs: str | None = None
    """Natural logarithms at temperature 1, one per token id."""


class TraceSource(Rule):
    """A set of traces: a file, or a data set of the hub."""

    path: str | None = None
    """A .jsonl or .parquet file, relative to the experiment's folder."""
    hub: str | None = None
    """A hub id, instead of `path`."""
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    name: str | None = None
    """Part of the ids of its problems; by default the file's stem or the hub id."""
    columns: TraceColumns = TraceColumns()
    delimiters: str | Delimiters = "<think>"
    """What marks the thought: `<think>`, `<|begin_of_thought|>`, `none`, another opening tag, or
    the tags themselves."""
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
        return self.name or (Path(self.path).stem if self.path else str(self.hub))

    def records(self, base: Path) -> Records:
        if self.path:
            return open_records(base / self.path)
        return HubRows(str(self.hub), self.config, self.split, self.revision)


@dataclass(frozen=True, slots=True)
class ImportBlock:
    """One part's worth of problems with all their traces."""

    problems: tuple[Problem, ...]
    traces: tuple[tuple[Trace, ...], ...]
    """`traces[k]` are the candidates of index k, in the order of the problems."""
    rejects: tuple[Reject, ...]


def import_blocks(
    source: TraceSource, part_size: int, base: Path = Path()
) -> Iterator[ImportBlock]:
    """Problems in order of their first row, `part_size` at a time.

    A reject goes with the block that was being filled when its row was read, so the last block may
    hold rejects alone. Raises BadTable where the file or one of its columns is missing.
    """
    records = source.records(base)
    reader = _Reader(source, trace_columns(source.columns, records.names()))
    index = _indexed(reader, records, part_size)
    keys = list(index.places)
    num_blocks = max([-(-len(keys) // part_size), *(number + 1 for number in index.rejects)])
    for number in range(num_blocks):
        block = keys[number * part_size : (number + 1) * part_size]
        problems, traces = _built(reader, records, index, block)
        yield ImportBlock(problems, traces, tuple(index.rejects.get(number, ())))


@dataclass(slots=True)
class _Index:
    """What the first pass keeps of each problem, in order of first appearance."""

    places: dict[str, array[int]] = field(default_factory=dict)
    answers: dict[str, str | None] = field(default_factory=dict)
    """The first that a row gives."""
    rejects: dict[int, list[Reject]] = field(default_factory=dict)
    """By the number of the block that was being filled."""


def _indexed(reader: _Reader, records: Records, part_size: int) -> _Index:
    index = _Index()
    for record in records.scan():
        row = record.fault or reader.row(record.values)
        if isinstance(row, _Row):
            _note(index, row.problem, record.place, reader.source.limit)
        fault = row if isinstance(row, str) else replaced(record)
        found = reject(reader.source.label, record, fault)
        if found:
            index.rejects.setdefault(len(index.places) // part_size, []).append(found)
    return index


def _note(index: _Index, problem: Problem, place: int, limit: int | None) -> None:
    key = problem.problem_id
    if key not in index.places:
        if limit is not None and len(index.places) >= limit:
            return
        index.places[key] = array("q")
    index.places[key].append(place)
    if index.answers.get(key) is None:
        index.answers[key] = problem.answer


def _built(
    reader: _Reader, records: Records, index: _Index, keys: Sequence[str]
) -> tuple[tuple[Problem, ...], tuple[tuple[Trace, ...], ...]]:
    """The rows of one block of problems."""
    rows: dict[str, list[_Row]] = {key: [] for key in keys}
    places = sorted(place for key in keys for place in index.places[key])
    for values in records.fetch(places):
        row = reader.row(values)
        assert isinstance(row, _Row), "the file changed while it was read"
        rows[row.problem.problem_id].append(row)
    problems = tuple(replace(rows[key][0].problem, answer=index.answers[key]) for key in keys)
    per_problem = [_numbered(rows[key], reader.source.candidates) for key in keys]
    widest = max(map(len, per_problem), default=0)
    by_index = (tuple(c[k] for c in per_problem if k < len(c)) for k in range(widest))
    return problems, tuple(by_index)


@dataclass(frozen=True, slots=True)
class _Row:
    """A usable row: a problem and one trace whose number among its like is not yet known."""

    problem: Problem
    trace: Trace


def _numbered(rows: Sequence[_Row], most: int | None) -> list[Trace]:
    """The candidates of one problem with their indices, in an order that follows from their
    content, so that a shuffled file gives the same rows."""
    copies: Counter[str] = Counter()
    traces = sorted((row.trace for row in rows), key=lambda t: (t.trace_id, t.source_id or ""))
    numbered = []
    for sample_index, trace in enumerate(traces[:most]):
        copy = copies[trace.trace_id]
        copies[trace.trace_id] += 1
        own = ids.imported_trace_id(trace.problem_id, trace.author, trace.text, copy)
        numbered.append(replace(trace, trace_id=own, sample_index=sample_index))
    return numbered


_TRACE_NAMES = ("trace", "response", "generation", "completion", "output", "generated_text")
_MODEL_NAMES = ("model", "model_name", "generator")
_ID_NAMES = ("trace_id", "id", "uuid", "unique_id")


def trace_columns(given: TraceColumns, names: Sequence[str]) -> TraceColumns:
    """The columns of a source, those not given found by their well-known names."""
    problem = found_columns(ProblemColumns(problem=given.problem, answer=given.answer,
                                           domain=given.domain), names)  # fmt: skip
    return TraceColumns(
        problem=problem.problem,
        answer=problem.answer,
        domain=problem.domain,
        id=choose_column("id", given.id, names, _ID_NAMES),
        trace=choose_column("trace", given.trace, names, _TRACE_NAMES, required=True),
        model=choose_column("model", given.model, names, _MODEL_NAMES),
        finish=choose_column("finish", given.finish, names, ("finish_reason",)),
        token_ids=choose_column("token_ids", given.token_ids, names, ("token_ids",)),
        logprobs=choose_column("logprobs", given.logprobs, names, ("logprobs",)),
    )


_FINISH = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}


class _Reader:
    """Turns values into rows."""

    def __init__(self, source: TraceSource, columns: TraceColumns) -> None:
        self.source, self.columns = source, columns
        named = source.delimiters
        self._delimiters = named_delimiters(named) if isinstance(named, str) else named

    def row(self, values: Values) -> _Row | str:
        """The row, or why it cannot be used."""
        columns = self.columns
        problem = make_problem(values, columns, self.source.label, self.source.split)
        text = value_at(values, columns.trace)
        if isinstance(problem, str):
            return problem
        if not isinstance(text, str):
            return f"no text in {columns.trace!r}"
        try:
            token_ids = _ints(value_at(values, columns.token_ids))
            logprobs = _logprobs(value_at(values, columns.logprobs), token_ids)
        except ValueError as error:
            return str(error)
        return _Row(problem, self._trace(values, problem.problem_id, text, token_ids, logprobs))

    def _trace(
        self,
        values: Values,
        problem: str,
        text: str,
        token_ids: NDArray[np.int32] | None,
        logprobs: NDArray[np.float32] | None,
    ) -> Trace:
        author = str(value_at(values, self.columns.model) or self.source.label)
        source_id = value_at(values, self.columns.id)
        finish = str(value_at(values, self.columns.finish))
        return Trace(
            trace_id=ids.imported_trace_id(problem, author, text, 0),
            problem_id=problem,
            author=author,
            sample_index=0,
            text=text,
            zones=self._delimiters.zones(text),
            finish_reason=_FINISH.get(finish, FinishReason.UNKNOWN),
            num_tokens=None if token_ids is None else len(token_ids),
            token_ids=token_ids,
            logprobs=logprobs,
            sampled_logprobs=None,
            seed=None,
            source_id=None if source_id is None else str(source_id),
        )


def _ints(value: Any) -> NDArray[np.int32] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(type(item) is int for item in value):
        raise ValueError("the token ids are not a list of integers")
    if value and not 0 <= min(value) <= max(value) < 2**31:
        raise ValueError("a token id is negative or above 2^31")
    return np.array(value, np.int32)


_LOWEST = float(np.finfo(np.float32).min)
_ROUNDED_UP = 1e-6
"""A certain token's log-probability, as some servers write it down."""


def _logprobs(value: Any, token_ids: NDArray[np.int32] | None) -> NDArray[np.float32] | None:
    if value is None:
        return None
    if token_ids is None:
        raise ValueError("log-probabilities without token ids cannot be placed")
    if not isinstance(value, list) or not all(type(item) in (int, float) for item in value):
        raise ValueError("the log-probabilities are not a list of numbers")
    if len(value) != len(token_ids):
        raise ValueError(f"{len(value)} log-probabilities for {len(token_ids)} token ids")
    if not all(_LOWEST <= item <= _ROUNDED_UP for item in value):
        raise ValueError("a log-probability is not finite or above 0")
    return np.minimum(np.array(value, np.float32), 0)
