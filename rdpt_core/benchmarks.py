"""Problems in: the pocket lab's own, files as they are found in public, and hub data sets.

Problems come in blocks of `part_size`, in the source's own order or in one that is shuffled by
digest. A block follows from the rows before and in it alone, so a file that grows keeps its full
blocks as they were.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from rdpt_core import ids
from rdpt_core.recipe import Rule
from rdpt_core.records import (
    HubRows,
    Record,
    Records,
    Values,
    choose_column,
    open_records,
    value_at,
)
from rdpt_core.rows import Problem, Reject


class ProblemColumns(Rule):
    """Which column holds what, where the well-known names do not fit."""

    problem: str | None = None
    answer: str | None = None
    id: str | None = None
    """The source's own id; two different problems under one id are refused."""
    domain: str | None = None


class PocketSource(Rule):
    """Problems of the pocket lab, made on the spot."""

    source: Literal["pocket"]
    name: str = "pocket"
    split: Literal["distill", "bench"] = "distill"
    seed: int = 0
    depths: tuple[Annotated[int, Field(ge=1, le=8)], ...] = Field((1, 2, 3, 4, 5, 6), min_length=1)
    """Steps to the answer; with more than 8 a story runs out of names."""
    limit: int = Field(ge=1)
    """The generator has no end, so how many is said here."""

    @property
    def label(self) -> str:
        return self.name


class _Found(Rule):
    """What files and hub data sets have in common."""

    name: str | None = None
    """Part of the ids of its problems; by default the file's stem or the hub id."""
    columns: ProblemColumns = ProblemColumns()
    limit: int | None = Field(default=None, ge=1)
    """The first so many problems."""
    shuffle: bool = False
    """In the order of digest(seed, problem) instead of the source's own."""
    seed: int = 0


class FileSource(_Found):
    """A .jsonl or .parquet file."""

    source: Literal["file"]
    path: str
    """Relative to the experiment's folder."""
    split: str = "default"

    @property
    def label(self) -> str:
        return self.name or Path(self.path).stem

    def records(self, base: Path) -> Records:
        return open_records(base / self.path)


class HubSource(_Found):
    """A data set of the hub."""

    source: Literal["hub"]
    path: str
    config: str | None = None
    split: str = "test"
    revision: str | None = None

    @property
    def label(self) -> str:
        return self.name or self.path

    def records(self, base: Path) -> Records:
        return HubRows(self.path, self.config, self.split, self.revision)


ProblemSource = Annotated[PocketSource | FileSource | HubSource, Field(discriminator="source")]


@dataclass(frozen=True, slots=True)
class Block:
    """One part's worth of problems, with the unusable rows met on the way.

    The last block may hold rejects alone: a row belongs to the block that was being filled when it
    was read, so that a longer file changes no block that was full.
    """

    problems: tuple[Problem, ...]
    rejects: tuple[Reject, ...]
    num_duplicates: int
    """Rows that repeated a problem."""


def blocks(
    source: PocketSource | FileSource | HubSource, part_size: int, base: Path = Path()
) -> Iterator[Block]:
    """Raises BadTable where the file or one of its columns is missing."""
    if isinstance(source, PocketSource):
        yield from _pocket_blocks(source, part_size)
        return
    reader = _Reader(source, source.records(base))
    yield from _shuffled(reader, part_size) if source.shuffle else _in_order(reader, part_size)


def _pocket_blocks(source: PocketSource, part_size: int) -> Iterator[Block]:
    from rdpt_core.pocket.problems import problems

    stories = islice(problems(source.split, source.seed, 0, source.depths), source.limit)
    rows = (
        Problem(
            problem_id=ids.problem_id(source.label, story.prompt),
            source=source.label,
            split=source.split,
            domain=f"depth-{story.depth}",
            prompt=story.prompt,
            answer=str(story.answer),
        )
        for story in stories
    )
    while block := tuple(islice(rows, part_size)):
        yield Block(block, (), 0)


class _Read(NamedTuple):
    """What one record came to; neither problem nor reject where it repeats a problem."""

    place: int
    problem: Problem | None
    reject: Reject | None


class _Reader:
    """Turns records into problems and knows those that it has met."""

    def __init__(self, source: FileSource | HubSource, records: Records) -> None:
        self.source, self.records = source, records
        self.columns = found_columns(source.columns, records.names())
        self._answers: dict[str, str | None] = {}
        self._own_ids: dict[str, str] = {}

    def scan(self) -> Iterator[_Read]:
        for record in self.records.scan():
            made = record.fault or self._new(record.values)
            problem = made if isinstance(made, Problem) else None
            fault = made if isinstance(made, str) else replaced(record)
            yield _Read(record.place, problem, reject(self.source.label, record, fault))

    def fetch(self, places: Sequence[int]) -> Iterator[Problem]:
        for values in self.records.fetch(places):
            problem = problem_of(values, self.columns, self.source)
            assert isinstance(problem, Problem), "the file changed while it was read"
            yield problem

    def _new(self, values: Values) -> Problem | str | None:
        """The problem; None if it is known; a fault if there is none or it contradicts another."""
        problem = problem_of(values, self.columns, self.source)
        if isinstance(problem, str):
            return problem
        own_id = value_at(values, self.columns.id)
        if own_id is not None:
            owner = self._own_ids.setdefault(str(own_id), problem.problem_id)
            if owner != problem.problem_id:
                return f"the id {own_id!r} belongs to another problem"
        if problem.problem_id not in self._answers:
            self._answers[problem.problem_id] = problem.answer
            return problem
        if self._answers[problem.problem_id] != problem.answer:
            return "the same problem came before with another answer"
        return None


def _in_order(reader: _Reader, part_size: int) -> Iterator[Block]:
    num_left = reader.source.limit
    problems: list[Problem] = []
    rejects: list[Reject] = []
    num_duplicates = 0
    for read in reader.scan():
        rejects += [read.reject] if read.reject else []
        num_duplicates += read.problem is None and read.reject is None
        if read.problem is None:
            continue
        problems.append(read.problem)
        num_left = num_left and num_left - 1
        if len(problems) == part_size or num_left == 0:
            yield Block(tuple(problems), tuple(rejects), num_duplicates)
            problems, rejects, num_duplicates = [], [], 0
        if num_left == 0:
            return
    if problems or rejects or num_duplicates:
        yield Block(tuple(problems), tuple(rejects), num_duplicates)


def _shuffled(reader: _Reader, part_size: int) -> Iterator[Block]:
    """Two passes: the order of the ids first, then each block's rows by their places. What the
    first pass left over goes with the first block."""
    order: list[tuple[str, int]] = []
    rejects: list[Reject] = []
    num_duplicates = 0
    for read in reader.scan():
        rejects += [read.reject] if read.reject else []
        num_duplicates += read.problem is None and read.reject is None
        if read.problem is not None:
            rank = ids.digest(reader.source.seed, read.problem.problem_id)
            order.append((rank, read.place))
    order = sorted(order)[: reader.source.limit]
    for start in range(0, max(1, len(order)), part_size):
        rank_of = {place: rank for rank, place in order[start : start + part_size]}
        places = sorted(rank_of)
        found = dict(zip(places, reader.fetch(places), strict=True))
        problems = tuple(found[place] for place in sorted(places, key=rank_of.__getitem__))
        if problems or rejects or num_duplicates:
            yield Block(problems, tuple(rejects), num_duplicates)
        rejects, num_duplicates = [], 0


# As GSM8K, MATH, MATH-500, AIME and OlympiadBench files are found in public, lower-cased. The
# order matters: a row that has both a gold answer and an answer means the first.
_PROBLEM_NAMES = ("problem", "question", "prompt", "query", "instruction", "input")
_ANSWER_NAMES = ("gold_answer", "final_answer", "expected_answer", "ground_truth", "answer", "gold",
                 "target", "label", "solution")  # fmt: skip
_DOMAIN_NAMES = ("domain", "subject", "topic", "category", "type")


def found_columns(given: ProblemColumns, names: Sequence[str]) -> ProblemColumns:
    """The columns of a source, those not given found by their well-known names."""
    return ProblemColumns(
        problem=choose_column("problem", given.problem, names, _PROBLEM_NAMES, required=True),
        answer=choose_column("answer", given.answer, names, _ANSWER_NAMES),
        id=choose_column("id", given.id, names, ()),
        domain=choose_column("domain", given.domain, names, _DOMAIN_NAMES),
    )


def problem_of(
    values: Values, columns: ProblemColumns, source: FileSource | HubSource
) -> Problem | str:
    """The problem of a row, or why it has none."""
    return make_problem(values, columns, source.label, source.split)


def make_problem(values: Values, columns: ProblemColumns, label: str, split: str) -> Problem | str:
    prompt = value_at(values, columns.problem)
    if not isinstance(prompt, str) or not prompt.strip():
        return f"no problem text in {columns.problem!r}"
    domain = value_at(values, columns.domain)
    return Problem(
        problem_id=ids.problem_id(label, prompt),
        source=label,
        split=split,
        domain=domain if isinstance(domain, str) else "",
        prompt=prompt,
        answer=gold_answer(value_at(values, columns.answer), columns.answer or ""),
    )


def gold_answer(value: Any, column: str = "") -> str | None:
    """The gold answer in a cell, None where there is none.

    GSM8K's `... #### 1,234` is `1234`; of a `solution` the last boxed expression is taken, and
    nothing where there is no box; numbers as they are written; a list of one as its item.
    """
    if isinstance(value, list) and value:
        parts = [gold_answer(item, column) for item in value]
        return ", ".join(part for part in parts if part) or None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    text = str(value).strip()
    if "####" in text:
        return _THOUSANDS.sub("", text.rpartition("####")[2].strip()) or None
    if column.lower() == "solution":
        return last_boxed(text)
    return text or None


_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


def last_boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{...}`, braces balanced."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    first = start + len("\\boxed{")
    depth = 1
    for brace in re.finditer(r"\\.|[{}]", text[first:], re.DOTALL):
        depth += {"{": 1, "}": -1}.get(brace.group(), 0)
        if depth == 0:
            return text[first : first + brace.start()].strip() or None
    return None


def reject(label: str, record: Record, fault: str | None) -> Reject | None:
    return Reject(label, record.item, fault, record.raw, None) if fault else None


def replaced(record: Record) -> str | None:
    """The note that keeps the bytes of a row that is used, but not as it was."""
    if not record.num_replaced:
        return None
    return f"used, with U+FFFD for {record.num_replaced} lone surrogates"
