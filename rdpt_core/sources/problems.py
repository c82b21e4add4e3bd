"""Problems in: the pocket lab's own, files as they are found in public, and hub data sets.

Problems come in blocks of `part_size`, in the source's own order or in one that is shuffled by
digest. A block follows from the rows before and in it alone, so a file that grows keeps its full
blocks as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from rdpt_core.files.opening import open_records, stem_of
from rdpt_core.files.records import SourceRow, SourceRows, Values
from rdpt_core.sources.account import PROBLEM, Ledger, ValueNotes, reject, replaced
from rdpt_core.sources.golds import gold_text
from rdpt_core.sources.hub import HubSet, open_hub
from rdpt_core.sources.naming import ProblemColumns, by_role, names_of, problem_columns
from rdpt_core.sources.turns import is_conversation, read_turns
from rdpt_core.sources.values import unpacked, value_at
from rdpt_core.tables import ids
from rdpt_core.tables.recipe import Rule
from rdpt_core.tables.rows import Problem, Reject


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
    """A file, a folder of shards, or a folder of `save_to_disk`."""

    source: Literal["file"]
    path: str
    """Relative to the experiment's folder."""
    split: str = "default"
    """Chooses from a folder that holds several, such as `test`."""

    @property
    def label(self) -> str:
        return self.name or stem_of(self.path)

    def records(self, base: Path) -> SourceRows:
        return open_records(base / self.path, self.split)


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

    def records(self, base: Path) -> SourceRows:
        return open_hub(self.hub_set)

    @property
    def hub_set(self) -> HubSet:
        return HubSet("path", self.path, self.config, self.split, self.revision)


ProblemSource = Annotated[PocketSource | FileSource | HubSource, Field(discriminator="source")]


@dataclass(frozen=True, slots=True)
class Block:
    """One part's worth of problems, with the unusable rows met on the way.

    The last block may hold rejects alone: a row belongs to the block that was being filled when it
    was read, so that a longer file changes no block that was full. A block of rejects alone also
    follows where their bytes would fill the memory.
    """

    problems: tuple[Problem, ...]
    rejects: tuple[Reject, ...]
    num_duplicates: int
    """Rows that repeated a problem."""


def blocks(
    source: PocketSource | FileSource | HubSource,
    part_size: int,
    base: Path = Path(),
    ledger: Ledger | None = None,
) -> Iterator[Block]:
    """`ledger` counts what becomes of the rows while the blocks are made.

    Raises BadTable where the file or one of its columns is missing.
    """
    if isinstance(source, PocketSource):
        yield from _pocket_blocks(source, part_size)
        return
    reader = Reader(source, source.records(base), ledger)
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


class Reader:
    """Turns records into problems and knows those that it has met."""

    def __init__(
        self, source: FileSource | HubSource, records: SourceRows, ledger: Ledger | None = None
    ) -> None:
        self.source, self.records = source, records
        self.columns = problem_columns(source.columns, names_of(records))
        self.ledger = ledger or Ledger()
        self.ledger.columns = by_role(self.columns)
        self._answers: dict[str, str | None] = {}
        self._own_ids: dict[str, str] = {}

    def scan(self) -> Iterator[Read]:
        for record in self.records.scan():
            yield self._read(record)

    def fetch(self, places: Sequence[int]) -> Iterator[Problem]:
        for record in self.records.fetch(places):
            yield self.problem(record.values, ValueNotes())

    def problem(self, values: Values, notes: ValueNotes) -> Problem:
        """The problem of a row. Raises ValueError where it has none."""
        return make_problem(values, self.columns, self.source.label, self.source.split, notes)

    def _read(self, record: SourceRow) -> Read:
        notes = ValueNotes()
        try:
            if record.fault:
                raise ValueError(record.fault)
            problem = self._new(self.problem(record.values, notes), record.values, notes)
        except ValueError as error:
            self.ledger.rejected(str(error))
            return Read(record.place, None, reject(self.source.label, record, str(error)))
        self.ledger.add(notes)
        self.ledger.count(PROBLEM, "used" if problem else "repeated")
        return Read(record.place, problem, reject(self.source.label, record, replaced(record)))

    def _new(self, problem: Problem, values: Values, notes: ValueNotes) -> Problem | None:
        """The problem, or None where it is known. Raises ValueError where it contradicts one."""
        own_id = value_at(values, self.columns.id)
        notes.used("id", own_id)
        if own_id is not None:
            owner = self._own_ids.setdefault(str(own_id), problem.problem_id)
            if owner != problem.problem_id:
                raise ValueError(f"the id {own_id!r} belongs to another problem")
        if problem.problem_id not in self._answers:
            self._answers[problem.problem_id] = problem.answer
            return problem
        if self._answers[problem.problem_id] != problem.answer:
            raise ValueError("the same problem came before with another answer")
        return None


class Read(NamedTuple):
    """What one record came to; neither problem nor reject where it repeats a problem."""

    place: int
    problem: Problem | None
    reject: Reject | None


MOST_BYTES = 64 * 2**20
"""Bytes of rows that are rejected together: a file may hold nothing else."""


class Leftovers:
    """Rows met on the way to the next block that are none of its problems."""

    def __init__(self) -> None:
        self._rejects: list[Reject] = []
        self._num_duplicates = self._num_bytes = 0

    def add(self, read: Read) -> Iterator[Block]:
        """A block of rejects alone where they would fill the memory."""
        if read.reject:
            self._rejects.append(read.reject)
            self._num_bytes += len(read.reject.raw)
        self._num_duplicates += read.problem is None and read.reject is None
        if self._num_bytes > MOST_BYTES:
            yield Block((), tuple(self._rejects), 0)
            self._rejects, self._num_bytes = [], 0

    def block(self, problems: Iterable[Problem]) -> Iterator[Block]:
        """The problems with all that was left over; no block of nothing at all."""
        block = Block(tuple(problems), tuple(self._rejects), self._num_duplicates)
        self._rejects, self._num_duplicates, self._num_bytes = [], 0, 0
        if block.problems or block.rejects or block.num_duplicates:
            yield block


def _in_order(reader: Reader, part_size: int) -> Iterator[Block]:
    num_left = reader.source.limit
    problems: list[Problem] = []
    left = Leftovers()
    for read in reader.scan():
        yield from left.add(read)
        if read.problem is None:
            continue
        problems.append(read.problem)
        num_left = num_left and num_left - 1
        if len(problems) == part_size or num_left == 0:
            yield from left.block(problems)
            problems = []
        if num_left == 0:
            return
    yield from left.block(problems)


def _shuffled(reader: Reader, part_size: int) -> Iterator[Block]:
    """Two passes: the order of the ids first, then each block's rows by their places. What the
    first pass left over goes with the first block."""
    order: list[tuple[str, int]] = []
    left = Leftovers()
    for read in reader.scan():
        yield from left.add(read)
        if read.problem is not None:
            rank = ids.digest(reader.source.seed, read.problem.problem_id)
            order.append((rank, read.place))
    order = sorted(order)[: reader.source.limit]
    for start in range(0, max(1, len(order)), part_size):
        rank_of = {place: rank for rank, place in order[start : start + part_size]}
        places = sorted(rank_of)
        found = dict(zip(places, reader.fetch(places), strict=True))
        yield from left.block(found[place] for place in sorted(places, key=rank_of.__getitem__))


# ---------------------------------------------------------------------------- one row


def make_problem(
    values: Values, columns: ProblemColumns, label: str, split: str, notes: ValueNotes
) -> Problem:
    """The problem of a row. Raises ValueError where it has none."""
    prompt = _prompt(values, columns)
    notes.used("problem", prompt)
    domain = value_at(values, columns.domain)
    if domain is None or isinstance(domain, str):
        notes.used("domain", domain)
    else:
        notes.odd("domain", domain)
    return Problem(
        problem_id=ids.problem_id(label, prompt),
        source=label,
        split=split,
        domain=domain if isinstance(domain, str) else "",
        prompt=prompt,
        answer=_gold(values, columns, notes),
    )


def _prompt(values: Values, columns: ProblemColumns) -> str:
    given = columns.problem
    names = given if isinstance(given, tuple) else (given,)
    texts = [_text(value_at(values, name), name or "") for name in names]
    prompt = "\n\n".join(text for text in texts if text.strip()) if len(texts) > 1 else texts[0]
    if not prompt.strip():
        raise ValueError(f"no problem text in {' + '.join(map(str, names))!r}")
    return prompt


def _text(value: Any, column: str) -> str:
    """The text of a cell; of a conversation the question."""
    turns = conversation(value)
    if turns is not None:
        return read_turns(turns).problem
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"no problem text in {column!r}")
    return value


def conversation(value: Any) -> list[Any] | None:
    """The messages in a cell, or in JSON that its text holds; None where there are none."""
    found = unpacked(value)
    return found if is_conversation(found) else None


def _gold(values: Values, columns: ProblemColumns, notes: ValueNotes) -> str | None:
    value = value_at(values, columns.answer)
    try:
        text = gold_text(value, columns.answer or "")
    except ValueError:
        notes.odd("answer", value)
        return None
    notes.used("answer", text)
    return text
