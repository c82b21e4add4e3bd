"""Candidates out of somebody's table of sentences, a column at a time.

It comes in two forms. One row a sentence, with the probabilities that two models give it, or its
label; or the rows of `sentence_scores`, one for each sentence and model. Both have `problem_id`,
`trace_id`, `position` and `num_tokens`, the student's.

A missing score is told from a sentence that owns no token as well as a table allows: such a
sentence has `num_tokens` 0, and some later one of its trace has a score, which a trace that was
scored in part, or not at all, has not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from rdpt_core.files.reading import TableReader, numbers, probabilities, refuse
from rdpt_core.files.records import BadTable
from rdpt_core.provenance.labels import LABELS, MISSING, LabelRule, label
from rdpt_core.selection.candidates import (
    ELIGIBLE,
    Bools,
    CandidateRecord,
    CandidateSentences,
    Codes,
    Floats,
    Ints,
    records,
)

KEYS = ("problem_id", "trace_id", "position", "num_tokens")
GAPS = ("p_teacher", "p_student")
NEEDS = {
    "teacher_count": ("label",),
    "teacher_count_min": ("label",),
    "teacher_ratio": ("label",),
    "soft_count": GAPS,
    "mean_log_ratio": GAPS,
    "longest": (),
    "shortest": (),
    "random": (),
    "count_length_matched": ("label",),
    "count_length_residual": ("label",),
    "grape_mean": ("p_student",),
    "grape_sum": ("p_student",),
    "ppl": ("p_student",),
    "entropy": ("sum_entropy",),
    "entropy_min": ("sum_entropy",),
    "rsr": ("p_student", "sum_rank100"),
}
"""Columns that a selector reads, beside ids, positions and lengths."""

Columns = Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class Scorers:
    """Whose rows of `sentence_scores` are read, as the `scorer` column names them."""

    student: str
    teacher: str | None
    """None where the selector needs no teacher."""


def read_candidates(
    table: TableReader, wanted: Collection[str], rule: LabelRule, scorers: Scorers | None
) -> list[CandidateRecord]:
    """Every candidate of a table, in the order of first appearance; all are eligible.

    `wanted` are the columns beyond KEYS that the selector needs, of `label`, `p_teacher`,
    `p_student`, `sum_entropy` and `sum_rank100`. Where there is no label it follows from the two
    probabilities; with `scorers` these come from `logprob`. A probability of 0 has no logarithm, so
    what needs one is missing there.

    Raises BadTable for a column that is missing, a value out of bounds, a sentence that is there
    twice, and models that did not score the same sentences.
    """
    ids = _Ids()
    if "label" in wanted and (scorers is not None or "label" not in table.names):
        wanted = [*GAPS, *(name for name in wanted if name != "label")]
    wanted = list(dict.fromkeys(wanted))
    if scorers is None:
        columns, sentences = _of_probabilities(table, wanted, rule, ids)
    else:
        columns, sentences = _of_scores(table, wanted, rule, scorers, ids)
    size = len(ids.index)
    lengths = np.bincount(columns["owner"].astype(np.int64), columns["num_tokens"], size)
    found = records(
        ids.problems,
        list(ids.index),
        [ELIGIBLE] * size,
        lengths.astype(np.int64).tolist(),
        sentences,
        rule,
    )
    rows = np.bincount(columns["owner"].astype(np.int64), minlength=size).tolist()
    return [record for record, num in zip(found, rows, strict=True) if num]


def _of_probabilities(
    table: TableReader, wanted: Collection[str], rule: LabelRule, ids: _Ids
) -> tuple[Columns, CandidateSentences]:
    table.require(*KEYS, *wanted)
    found = _read(table, wanted, ids, lambda batch: {"": np.full(batch.num_rows, True)})[""]
    owner, num_tokens = found["owner"].astype(np.int64), found["num_tokens"].astype(np.int64)
    nothing = np.full(len(owner), np.nan)
    p_teacher, p_student = (found.get(name, nothing) for name in GAPS)
    codes = found["label"].astype(np.int8) if "label" in found else None
    unscored = np.zeros(len(owner), dtype=bool)
    for name in wanted:
        unscored |= found[name] == MISSING if name == "label" else np.isnan(found[name])
    empty = _owns_nothing(owner, unscored, num_tokens)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(p_teacher), np.log(p_student)
        log_ratio, logprob = logs[0] - logs[1], num_tokens * logs[1]
    return found, CandidateSentences(
        owner=owner,
        label=label(p_teacher, p_student, None, rule).label if codes is None else codes,
        gap=p_teacher - p_student,
        log_ratio=log_ratio,
        tokenless=empty,
        num_tokens=num_tokens,
        logprob=np.where(empty, 0.0, logprob),
        sum_entropy=np.where(empty, 0.0, found.get("sum_entropy", nothing)),
        sum_rank100=np.where(empty, 0.0, found.get("sum_rank100", nothing)),
    )


def _of_scores(
    table: TableReader, wanted: Collection[str], rule: LabelRule, scorers: Scorers, ids: _Ids
) -> tuple[Columns, CandidateSentences]:
    columns = ["logprob", *(name for name in wanted if name not in GAPS)]
    table.require(*KEYS, "scorer", *columns)
    if scorers.teacher is None and "p_teacher" in wanted:
        raise BadTable(f"{table.place}: the selector compares two models: name the teacher's rows")
    names = [scorers.student, *([scorers.teacher] if scorers.teacher else [])]
    found = _read(table, columns, ids, lambda batch: _rows_of(batch, names))
    _check_scored(table, names, found)
    student, teacher = found[names[0]], found[names[-1]]
    owner = student["owner"].astype(np.int64)
    empty = _owns_no_token(student)
    log_p_student, log_p_teacher = (
        one["logprob"] / np.maximum(one["num_tokens"], 1) for one in (student, teacher)
    )
    p_teacher, p_student = np.exp(log_p_teacher), np.exp(log_p_student)
    nothing = np.full(len(owner), np.nan)
    return student, CandidateSentences(
        owner=owner,
        label=label(p_teacher, p_student, None, rule).label,
        gap=p_teacher - p_student,
        log_ratio=log_p_teacher - log_p_student,
        tokenless=empty | _owns_no_token(teacher),
        num_tokens=student["num_tokens"].astype(np.int64),
        logprob=np.where(empty, 0.0, student["logprob"]),
        sum_entropy=np.where(empty, 0.0, student.get("sum_entropy", nothing)),
        sum_rank100=np.where(empty, 0.0, student.get("sum_rank100", nothing)),
    )


def _owns_no_token(scored: Columns) -> Bools:
    owner = scored["owner"].astype(np.int64)
    return _owns_nothing(owner, np.isnan(scored["logprob"]), scored["num_tokens"].astype(np.int64))


def _owns_nothing(owner: Ints, unscored: Bools, num_tokens: Ints) -> Bools:
    """Sentences without a token, in the order of their traces and positions."""
    rows = np.arange(len(owner))
    last_scored = np.full(int(owner.max(initial=-1)) + 1, -1)
    last_scored[owner[~unscored]] = rows[~unscored]  # the last write wins
    empty: Bools = unscored & (num_tokens == 0) & (rows < last_scored[owner])
    return empty


def _check_scored(table: TableReader, names: list[str], found: Mapping[str, Columns]) -> None:
    for name in names:
        if name not in found:
            raise BadTable(f"{table.place}: no row has the scorer {name}")
    student, teacher = found[names[0]], found[names[-1]]
    for key in ("owner", "position"):
        if not np.array_equal(student[key], teacher[key]):
            raise BadTable(
                f"{table.place}: teacher and student did not score the same sentences "
                f"({len(teacher[key])} and {len(student[key])} rows): each needs a row of both"
            )


# ---------------------------------------------------------------- columns


@dataclass(slots=True)
class _Ids:
    """Candidates by their ids, numbered as they appear."""

    index: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def owners(self, batch: pa.RecordBatch, table: TableReader, num_before: int) -> Ints:
        """The number of each row's candidate."""
        traces = _texts(batch, "trace_id", table, num_before)
        problems = _texts(batch, "problem_id", table, num_before)
        codes = traces.indices.to_numpy()
        problem_of, names = problems.indices.to_numpy(), problems.dictionary.to_pylist()
        first = np.unique(codes, return_index=True)[1]  # in the order of the dictionary
        owners = np.empty(len(first), dtype=np.int64)
        for i, trace in enumerate(traces.dictionary.to_pylist()):
            problem = names[problem_of[first[i]]]
            owners[i] = self.index.setdefault(trace, len(self.index))
            if owners[i] == len(self.problems):
                self.problems.append(problem)
            if self.problems[owners[i]] != problem:
                self._refuse_two(table, num_before + int(first[i]), trace)
        odd: Bools = problem_of != problem_of[first][codes]
        if odd.any():
            row = int(odd.argmax())
            self._refuse_two(table, num_before + row, traces[row].as_py())
        of_rows: Ints = owners[codes]
        return of_rows

    def _refuse_two(self, table: TableReader, row: int, trace: str) -> None:
        refuse(table, row, "trace_id", trace, "belongs to two problems: give each its own id")


def _texts(
    batch: pa.RecordBatch, name: str, table: TableReader, num_before: int
) -> pa.DictionaryArray:
    column = batch.column(name).cast(pa.string())
    if column.null_count:
        row = int(column.is_null().to_numpy(zero_copy_only=False).argmax())
        refuse(table, num_before + row, name, "", "is missing")
    return column.dictionary_encode()


def _read(
    table: TableReader,
    columns: Collection[str],
    ids: _Ids,
    groups: Callable[[pa.RecordBatch], Mapping[str, Bools]],
) -> dict[str, Columns]:
    """Columns by group of rows, each in the order of candidate and position."""
    parts: dict[str, dict[str, list[Floats]]] = defaultdict(lambda: defaultdict(list))
    num_before = 0
    for batch in table.batches({*KEYS, "scorer", *columns}):
        found = {"owner": ids.owners(batch, table, num_before).astype(np.float64)}
        for name in ("position", "num_tokens", *columns):
            found[name] = _values(batch, name, table, num_before)
        for group, rows in groups(batch).items():
            for name, values in found.items():
                parts[group][name].append(values[rows])
        num_before += batch.num_rows
    return {group: _in_order(table, part, ids) for group, part in parts.items()}


def _rows_of(batch: pa.RecordBatch, scorers: list[str]) -> dict[str, Bools]:
    named = np.array(batch.column("scorer").cast(pa.string()).to_pylist(), dtype=object)
    found = {name: named == name for name in scorers}
    return {name: rows for name, rows in found.items() if rows.any()}


def _in_order(table: TableReader, part: dict[str, list[Floats]], ids: _Ids) -> Columns:
    columns = {name: np.concatenate(part.pop(name)) for name in list(part)}
    owner, position = columns["owner"], columns["position"]
    order = np.lexsort((position, owner))
    columns = {name: columns.pop(name)[order] for name in list(columns)}
    owner, position = columns["owner"], columns["position"]
    twice = (np.diff(owner) == 0) & (np.diff(position) == 0)
    if twice.any():
        row = int(twice.argmax())
        trace = list(ids.index)[int(owner[row])]
        raise BadTable(
            f"{table.place}: sentence {int(position[row])} of trace {trace} is there twice"
        )
    return columns


def _values(batch: pa.RecordBatch, name: str, table: TableReader, num_before: int) -> Floats:
    """A column of numbers within its bounds; NaN where a score is missing."""
    if name == "label":
        return _codes(batch, table, num_before).astype(np.float64)
    if name in GAPS:
        return probabilities(batch, name, table, num_before)
    values = numbers(batch, name, table, num_before)
    if name in KEYS:
        bad, rule = ~((values >= 0) & (values % 1 == 0)), "is no whole number from 0 on"
    elif name == "logprob":
        bad, rule = values > 0, "is no logarithm of a probability: it must be at most 0"
    else:
        bad, rule = values < 0, "is below 0"
    if bad.any():
        row = int(bad.argmax())
        refuse(table, num_before + row, name, batch.column(name)[row].as_py(), rule)
    return values


def _codes(batch: pa.RecordBatch, table: TableReader, num_before: int) -> Codes:
    """Labels as indices into LABELS; an empty CSV cell has none."""
    encoded = batch.column("label").cast(pa.string()).dictionary_encode()
    known = {str(name): code for code, name in enumerate(LABELS)} | {"": MISSING}
    names = encoded.dictionary.to_pylist()
    codes = np.array([*(known.get(name, len(LABELS)) for name in names), MISSING], dtype=np.int8)
    found: Codes = codes[encoded.indices.fill_null(len(names)).to_numpy()]
    if (found == len(LABELS)).any():
        row = int((found == len(LABELS)).argmax())
        rule = f"is no label: {', '.join(LABELS)} or nothing"
        refuse(table, num_before + row, "label", encoded[row].as_py(), rule)
    return found
