"""Tables that no stage makes: problems and traces as they are found in files and generators.

A part's key digests its rows, so the same rows are the same part wherever they came from. What a
source gave is remembered by what names it (its settings, and the file's path, size and mtime), so
that an unchanged file is not read again.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter

from rdpt_core import __version__
from rdpt_core.files.hashing import file_hash
from rdpt_core.files.opening import files_of
from rdpt_core.files.records import BadTable
from rdpt_core.sources.account import Ledger
from rdpt_core.sources.companion import CompanionSource
from rdpt_core.sources.hub import check_hub
from rdpt_core.sources.naming import names_of, problem_columns
from rdpt_core.sources.problems import FileSource, HubSource, PocketSource, ProblemSource, blocks
from rdpt_core.sources.traces import TraceSource, import_blocks, import_columns
from rdpt_core.store.parts import Damaged, Store
from rdpt_core.store.record import Coordinate, Part
from rdpt_core.tables import columns, ids
from rdpt_core.tables.recipe import Recipe, plain
from rdpt_core.tables.rows import Account, Origin, Problem, Reject, Trace
from tasks.stage import SourceTable

T = TypeVar("T")

ROWS = {
    "problems": Problem,
    "traces": Trace,
    "rejects": Reject,
    "origins": Origin,
    "accounts": Account,
}
NUM_AXES = {"problems": 1, "accounts": 0}
"""How many numbers place a part: the block of problems, and in every other table its place there.
"""
READER = 2
"""Raise it when the same file gives other rows; what sources gave is then read again."""
Group = tuple[str, Sequence[Any]]
"""A table and the rows of one part of it; traces and rejects follow the problems of their block."""


KEYS = TypeAdapter(
    list[tuple[Literal["problems", "traces", "rejects", "origins", "accounts"], str]]
)
"""What is remembered of a source: table and key of each of its parts, in order."""
_PEEKED: dict[str, tuple[list[Part], list[Account]]] = {}
"""What sources would give, with their accounts, read once in a process that plans."""


@dataclass(frozen=True)
class Source:
    """One source and what it gave."""

    name: str
    """Digest of its settings and of what it holds; no path and no time."""
    label: str
    """For people."""
    blocks: Callable[[], Iterator[Group]]
    """Tables and rows in order; empty ones are no parts."""

    def given(self, table: str) -> SourceTable:
        return SourceTable(
            table,
            ROWS[table],
            self.name,
            axes=(self.name, f"{self.name} {table}")[: NUM_AXES.get(table, 2)],
            parts=lambda store: self._parts(store, table),
            read=self._read,
            peek=lambda: _of(table, ((part.table, part) for part in self._peeked()[0])),
        )

    def account(self, store: Store) -> list[Account]:
        """What became of its rows and values, when it was read or as a plan reads it."""
        parts = self._parts(store, "accounts")
        with suppress(Damaged):  # set aside then, and the next run writes it again
            if parts is not None:
                return [row for part in parts.values() for row in store.rows(Account, part)]
        return self._peeked()[1]

    def is_read(self, store: Store) -> bool:
        """True if the store holds all that it gave."""
        return all(self._parts(store, table) is not None for table in ROWS)

    def groups(self) -> Iterator[Group]:
        """Raises BadTable where no row can be used, with what is wrong with the first."""
        num_problems, first = 0, None
        for table, rows in self.blocks():
            num_problems += len(rows) if table == "problems" else 0
            if table == "rejects" and rows:
                first = first or rows[0]
            if rows:
                yield table, rows
        if not num_problems:
            why = f"row {first.item + 1}: {first.reason}" if first else "it has no rows"
            raise BadTable(f"{self.label} gave no problem that can be used; {why}")

    def _parts(self, store: Store, table: str) -> dict[Coordinate, Part] | None:
        """The parts as remembered; None where the source, or one of its parts, must be read."""
        keys = store.notes.read(self._memory(store), KEYS)
        if not keys:
            return None
        found = {at: store.find(table, key) for at, key in _of(table, keys).items()}
        parts = {at: part for at, part in found.items() if part}
        return parts if len(parts) == len(found) else None

    def _read(self, store: Store) -> None:
        """Commits every part that is missing, block by block; once, whoever asks for it."""
        with store.lock("sources", self.name, wait=True):
            if self.is_read(store):
                return
            keys: list[tuple[str, str]] = []
            for table, at, rows in _placed(self.groups()):
                keys.append((table, _committed(store, table, rows, at).key))
            store.notes.write(self._memory(store), keys)

    def _peeked(self) -> tuple[list[Part], list[Account]]:
        """The parts as they would be committed, in memory only, and the account."""
        if self.name not in _PEEKED:
            _PEEKED[self.name] = self._would_commit()
        return _PEEKED[self.name]

    def _would_commit(self) -> tuple[list[Part], list[Account]]:
        parts: list[Part] = []
        account: list[Account] = []
        for name, rows in self.groups():
            recipe, content = _recipe(name, rows)
            parts.append(Part(name, recipe.key, content, len(rows), 0.0, 0))
            account += rows if name == "accounts" else []
        return parts, account

    def _memory(self, store: Store) -> Path:
        """Also of this version of rdpt, whose generator and reader made the rows."""
        return store.root / "sources" / f"{ids.digest(self.name, __version__, READER)}.json"


def _placed(given: Iterable[tuple[str, T]]) -> Iterator[tuple[str, Coordinate, T]]:
    """What a source gives, table by table in its order, with the coordinates."""
    block, within = -1, Counter[str]()
    for table, item in given:
        if table == "problems":
            block, within = block + 1, Counter()
        yield table, (block, within[table])[: NUM_AXES.get(table, 2)], item
        within[table] += 1


def _of(table: str, given: Iterable[tuple[str, T]]) -> dict[Coordinate, T]:
    """The items of one table among all that a source gives."""
    return {at: item for name, at, item in _placed(given) if name == table}


def _committed(store: Store, table: str, rows: Sequence[Any], at: Coordinate) -> Part:
    recipe, _ = _recipe(table, rows)
    key = recipe.key
    if found := store.find(table, key):
        return found
    with store.lock(table, key, wait=True):  # another source may hold the same rows
        found = store.find(table, key)
        return found or store.commit(ROWS[table], recipe, rows, coordinate=at)


def _recipe(table: str, rows: Sequence[Any]) -> tuple[Recipe, str]:
    """The recipe that rows themselves are, and their content digest."""
    row = ROWS[table]
    content = columns.content_digest(row, columns.in_key_order(row, rows), "{}")
    return Recipe(table, 1, {"rows": content}, {}), content


def problems(rule: ProblemSource, part_size: int, base: Path) -> SourceTable:
    """The problems of a source, in blocks of `part_size`."""
    return source_of(rule, part_size, base).given("problems")


def imported(rule: TraceSource, part_size: int, base: Path) -> tuple[SourceTable, SourceTable]:
    """Problems and traces of an import; a part of traces holds one candidate of each problem."""
    source = source_of(rule, part_size, base)
    return source.given("problems"), source.given("traces")


def aside(rule: ProblemSource | TraceSource, part_size: int, base: Path) -> tuple[SourceTable, ...]:
    """What is kept beside the problems and traces of a source: rows that could not be used, what
    an import says of its traces beyond their text, and the account of all."""
    source = source_of(rule, part_size, base)
    tables = ["rejects", "accounts", *(["origins"] if isinstance(rule, TraceSource) else [])]
    return tuple(source.given(table) for table in tables)


def check(rule: ProblemSource | TraceSource, part_size: int, base: Path, store: Store) -> None:
    """Opens a file and finds its columns, and asks the hub for a data set that was not read before,
    so that a mistake costs no work. Raises BadTable or ConnectionError.
    """
    if isinstance(rule, PocketSource):
        return
    parts: list[Any] = [rule, getattr(rule, "companion", None)]
    for part in filter(None, parts):
        if part.path is not None and not isinstance(part, HubSource):
            _check_file(part, base)
        elif not source_of(rule, part_size, base).is_read(store):
            check_hub(part.hub_set)


def _check_file(rule: FileSource | TraceSource | CompanionSource, base: Path) -> None:
    records = rule.records(base)
    if isinstance(rule, TraceSource):
        import_columns(rule, records)
    elif isinstance(rule, FileSource):
        problem_columns(rule.columns, names_of(records))


def source_of(rule: ProblemSource | TraceSource, part_size: int, base: Path) -> Source:
    """What a rule of an experiment reads."""
    read = _trace_groups if isinstance(rule, TraceSource) else _problem_groups
    return Source(_named(rule, part_size, base), rule.label, lambda: read(rule, part_size, base))


def _problem_groups(rule: Any, part_size: int, base: Path) -> Iterator[Group]:
    ledger = Ledger()
    for block in blocks(rule, part_size, base, ledger):
        yield "problems", block.problems
        yield "rejects", block.rejects
    yield "accounts", ledger.rows(rule.label)


def _trace_groups(rule: Any, part_size: int, base: Path) -> Iterator[Group]:
    ledger = Ledger()
    for block in import_blocks(rule, part_size, base, ledger):
        yield "problems", block.problems
        for traces in block.traces:
            yield "traces", traces
        yield "origins", block.origins
        yield "rejects", block.rejects
    yield "accounts", ledger.rows(rule.label)


def _named(rule: Any, part_size: int, base: Path) -> str:
    """Settings without paths, and the hashes of the files that lie there."""
    without: Any = {"path": True, "companion": {"path"}}
    settings = json.dumps(plain(rule.model_dump(mode="json", exclude=without)), sort_keys=True)
    held = [_held(part, base) for part in (rule, getattr(rule, "companion", None)) if part]
    return ids.digest("source", settings, part_size, *held)


def _held(rule: Any, base: Path) -> str | None:
    """Digest of the file, or of the files in their order; the hub's id of what is not here."""
    path: str | None = getattr(rule, "path", None)
    if path is None or isinstance(rule, HubSource) or not os.path.exists(base / path):
        return path
    hashes = [_hash_now(file) for file in files_of(base / path, rule.split)]
    return hashes[0] if len(hashes) == 1 else ids.digest("files", *hashes)


def _hash_now(path: Path) -> str:
    status = path.stat()
    return _file_hash(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _file_hash(path: Path, size: int, mtime_ns: int) -> str:
    return file_hash(path)
