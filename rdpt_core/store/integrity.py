"""Integrity of a store: every file against its record.

A record is checked against itself (its digest, its recipe gives its key), the files against the
record. Nothing is changed here but by `repair` and `seal`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rdpt_core.files.hashing import file_hash
from rdpt_core.store.parts import Store
from rdpt_core.store.record import Record, read_record
from rdpt_core.tables import ids
from rdpt_core.tables.rows import ROWS


@dataclass(frozen=True, slots=True)
class Damage:
    """A damaged part, and the reason."""

    table: str
    key: str
    reason: str
    strangers: tuple[str, ...] = ()
    """Uncommitted files in the payload, if nothing else is wrong."""


def record_files(store: Store) -> Iterator[Path]:
    """The record of every part, table by table; of remote parts, of those that were fetched."""
    for row in ROWS:
        for path in sorted((store.root / row.TABLE).glob("*.json")):
            if store.remote is None or path.with_suffix(".parquet").exists():
                yield path


def num_bytes(store: Store) -> int:
    """Bytes that `check` reads for all parts, by their records; unreadable records count 0."""
    total = 0
    for path in record_files(store):
        record = store.record(path.parent.name, path.stem)
        if record is not None:
            total += record.part.size + sum(size for size, _ in record.payload.values())
    return total


def damages(store: Store, has_read: Callable[[int], object]) -> Iterator[Damage]:
    """Every damaged part of a store opened read-only; `has_read` is called with bytes read."""
    for path in record_files(store):
        found = check(store, path.parent.name, path.stem)
        if found is not None:
            yield found
        record = store.record(path.parent.name, path.stem)
        if record is not None:
            has_read(record.part.size + sum(size for size, _ in record.payload.values()))


def check(store: Store, table: str, key: str) -> Damage | None:
    """The damage of a part, or None; also None if the part no longer exists."""
    path = store.root / table / f"{key}.json"
    try:
        record = read_record(path)
    except FileNotFoundError:
        return None
    except ValueError as error:
        return Damage(table, key, f"its record {error}")
    reason = _wrong_record(record, table, key) or _wrong_files(store, record)
    if reason:
        return Damage(table, key, reason)
    strangers = tuple(_strangers(store.file(record.part).with_suffix(""), record.payload))
    if not strangers:
        return None
    reason = f"its payload has a file that was not committed: {strangers[0]}"
    return Damage(table, key, reason, strangers)


def _wrong_record(record: Record, table: str, key: str) -> str | None:
    part = record.part
    recipe = json.dumps(dict(record.recipe), sort_keys=True)
    if (part.table, part.key) != (table, key) or ids.digest(recipe) != key:
        return "its record is not of this part: the recipe in it gives another key"
    return None


def _wrong_files(store: Store, record: Record) -> str | None:
    file = store.file(record.part)
    reason = _wrong_file(file, record.part.size, record.hash)
    if reason:
        return f"its file {reason}"
    try:
        num_rows = pq.read_metadata(file).num_rows
    except (pa.ArrowException, OSError) as error:
        return f"its file is no Parquet: {error}"
    if num_rows != record.part.num_rows:
        return f"its file has {num_rows} rows, its record says {record.part.num_rows}"
    here = {name: record.payload[name] for name in store.payload_here(record)}
    return _wrong_payload(file.with_suffix(""), here)


def _wrong_payload(folder: Path, manifest: Mapping[str, tuple[int, str]]) -> str | None:
    for name, (size, digest) in manifest.items():
        reason = _wrong_file(folder / name, size, digest)
        if reason:
            return f"its payload file {name} {reason}"
    return None


def _strangers(folder: Path, manifest: Mapping[str, object]) -> list[str]:
    """Uncommitted files of a payload. Loading reads a whole folder: a stray file changes it."""
    found = {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
    return sorted(found - manifest.keys())


def _wrong_file(path: Path, size: int, digest: str) -> str | None:
    try:
        found = path.stat().st_size
        if found != size:
            return f"has {found} bytes instead of {size}"
        return None if file_hash(path) == digest else "has changed since it was committed"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def repair(store: Store, damage: Damage) -> bool:
    """Quarantines a damaged part, so that the next run rebuilds only it; if its only damage is
    uncommitted files, it quarantines those files. False if a run holds the part now, or has rebuilt
    it since."""
    with store.lock(damage.table, damage.key) as mine:
        # Read-only, or `find` would move only the record.
        looking = Store(store.root, read_only=True, remote=store.remote)
        now = check(looking, damage.table, damage.key) if mine else None
        if now is None:
            return False
        for name in now.strangers:
            store.notes.set_aside(store.root / now.table / now.key / name)
        if not now.strangers:
            # The name alone determines which files to move: the record itself may be wrong.
            store.quarantine(now.table, now.key, now.reason)
        return True


def seal(store: Store, damaged: Collection[tuple[str, str]]) -> int:
    """Adds a digest to intact records of earlier releases; returns their number. `damaged` holds
    table and key of the damaged parts."""
    looking = Store(store.root, read_only=True)
    found = [record for row in ROWS for record in looking.records(row.TABLE)]
    return sum(
        _seal(store, record)
        for record in found
        if not record.is_sealed and (record.part.table, record.part.key) not in damaged
    )


def _seal(store: Store, record: Record) -> bool:
    """False if a run holds the part, or has rebuilt it since."""
    with store.lock(record.part.table, record.part.key) as mine:
        if not mine or store.record(record.part.table, record.part.key) != record:
            return False
        store.seal(record)
        return True
