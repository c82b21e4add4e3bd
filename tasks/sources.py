"""Tables that no stage makes: problems and traces as they are found in files and generators.

A part's key digests its rows, so the same rows are the same part wherever they came from. What a
source gave is remembered by what names it (its settings, and the file's path, size and mtime), so
that an unchanged file is not read again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from rdpt_core import __version__, benchmarks, columns, ids, imports
from rdpt_core.benchmarks import FileSource, ProblemSource
from rdpt_core.imports import TraceSource
from rdpt_core.recipe import Recipe, Rule, plain
from rdpt_core.rows import Problem, Reject, Trace
from rdpt_core.store import Part, Store, file_hash, replace_file
from rdpt_core.table_files import BadTable
from tasks.stage import Given

ROWS = {"problems": Problem, "traces": Trace, "rejects": Reject}
Group = tuple[str, Sequence[Any]]
"""A table and the rows of one part of it; traces and rejects follow the problems they descend
from."""


_PEEKED: dict[str, tuple[Part, ...]] = {}
"""What sources would give, read once in a process that plans."""


@dataclass(frozen=True)
class Source:
    """One source and what it gave."""

    name: str
    """Digest of its settings and of what it holds; no path and no time."""
    label: str
    """For people."""
    blocks: Callable[[], Iterator[Group]]
    """Tables and rows in order; empty ones are no parts."""

    def given(self, table: str) -> Given:
        return Given(
            table,
            ROWS[table],
            self.name,
            parts=lambda store: self._parts(store, table),
            read=self._read,
            peek=lambda: self._peeked(table),
        )

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

    def _parts(self, store: Store, table: str) -> tuple[Part, ...] | None:
        """The parts as remembered; None where the source, or one of its parts, must be read."""
        memory = self._memory(store)
        if not memory.exists():
            return None
        keys: list[tuple[str, str]] = json.loads(memory.read_text())
        found = [store.find(t, key) for t, key in keys if t == table]
        return tuple(part for part in found if part) if all(found) else None

    def _read(self, store: Store) -> None:
        """Commits every part that is missing, block by block; once, whoever asks for it."""
        with store.lock("sources", self.name, wait=True):
            if any(self._parts(store, table) is None for table in ROWS):
                self._commit(store)

    def _commit(self, store: Store) -> None:
        keys: list[tuple[str, str]] = []
        chain: tuple[str, ...] = ()
        for table, rows in self.groups():
            part = _committed(store, table, rows, () if table == "problems" else chain)
            chain = part.chain if table == "problems" else chain
            keys.append((table, part.key))
        replace_file(self._memory(store), json.dumps(keys))

    def _peeked(self, table: str) -> tuple[Part, ...]:
        """The parts as they would be committed, in memory only."""
        if self.name not in _PEEKED:
            _PEEKED[self.name] = self._would_commit()
        return tuple(part for part in _PEEKED[self.name] if part.table == table)

    def _would_commit(self) -> tuple[Part, ...]:
        parts: list[Part] = []
        chain: tuple[str, ...] = ()
        for name, rows in self.groups():
            recipe, content = _recipe(name, rows)
            above = () if name == "problems" else chain
            part = Part(name, recipe.key, content, len(rows), (*above, content), 0.0, 0)
            chain = part.chain if name == "problems" else chain
            parts.append(part)
        return tuple(parts)

    def _memory(self, store: Store) -> Path:
        """Also of this version of rdpt, whose generator and reader made the rows."""
        return store.root / "sources" / f"{ids.digest(self.name, __version__)}.json"


def _committed(store: Store, table: str, rows: Sequence[Any], chain: tuple[str, ...]) -> Part:
    recipe, _ = _recipe(table, rows)
    found = store.find(table, recipe.key)
    if found:
        return found
    with store.lock(table, recipe.key, wait=True):  # another source may hold the same rows
        return store.find(table, recipe.key) or store.commit(ROWS[table], recipe, rows, chain=chain)


def _recipe(table: str, rows: Sequence[Any]) -> tuple[Recipe, str]:
    """The recipe that rows themselves are, and their content digest."""
    row = ROWS[table]
    content = columns.content_digest(row, columns.in_key_order(row, rows), "{}")
    return Recipe(table, 1, {"rows": content}, {}), content


def problems(rule: ProblemSource, part_size: int, base: Path) -> Given:
    """The problems of a source, in blocks of `part_size`."""
    return _problem_source(rule, part_size, base).given("problems")


def imported(rule: TraceSource, part_size: int, base: Path) -> tuple[Given, Given]:
    """Problems and traces of an import; a part of traces holds one candidate of each problem."""
    source = _trace_source(rule, part_size, base)
    return source.given("problems"), source.given("traces")


def rejects(rule: Rule, part_size: int, base: Path) -> Given:
    """The rows of a source that could not be used."""
    if isinstance(rule, TraceSource):
        return _trace_source(rule, part_size, base).given("rejects")
    return _problem_source(rule, part_size, base).given("rejects")


def check(rule: ProblemSource | TraceSource, base: Path) -> None:
    """Opens a file and finds its columns, so that a mistake costs no work.

    A data set of the hub is left to the task that fetches it. Raises BadTable.
    """
    if isinstance(rule, TraceSource) and rule.path is not None:
        imports.trace_columns(rule.columns, rule.records(base).names())
    elif isinstance(rule, FileSource):
        benchmarks.found_columns(rule.columns, rule.records(base).names())


def _problem_source(rule: Any, part_size: int, base: Path) -> Source:
    def groups() -> Iterator[Group]:
        for block in benchmarks.blocks(rule, part_size, base):
            yield "problems", block.problems
            yield "rejects", block.rejects

    return Source(_named(rule, part_size, base), rule.label, groups)


def _trace_source(rule: TraceSource, part_size: int, base: Path) -> Source:
    def groups() -> Iterator[Group]:
        for block in imports.import_blocks(rule, part_size, base):
            yield "problems", block.problems
            for traces in block.traces:
                yield "traces", traces
            yield "rejects", block.rejects

    return Source(_named(rule, part_size, base), rule.label, groups)


def _named(rule: Rule, part_size: int, base: Path) -> str:
    """Settings without the path, and the hash of the file that lies there."""
    settings = json.dumps(plain(rule.model_dump(mode="json", exclude={"path"})), sort_keys=True)
    path = getattr(rule, "path", None)
    if path is None or not (base / path).is_file():
        return ids.digest("source", settings, part_size, path)
    status = (base / path).stat()
    held = _file_hash(base / path, status.st_size, status.st_mtime_ns)
    return ids.digest("source", settings, part_size, held)


@lru_cache(maxsize=64)
def _file_hash(path: Path, size: int, mtime_ns: int) -> str:
    return file_hash(path)
