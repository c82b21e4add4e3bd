"""Whether a store still holds what was committed: every file against its record.

A record is checked against itself (its recipe gives its key, its chain ends in its content), the
files against the record. Nothing is changed here but by `repair`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rdpt_core import ids
from rdpt_core.rows import ROWS
from rdpt_core.store import Part, Record, Store, file_hash


@dataclass(frozen=True, slots=True)
class Damage:
    """A part that does not hold, and why."""

    table: str
    key: str
    reason: str


def record_files(store: Store) -> Iterator[Path]:
    """The record of every part, table by table."""
    for row in ROWS:
        yield from sorted((store.root / row.TABLE).glob("*.json"))


def num_bytes(store: Store) -> int:
    """What `check` reads of all parts, as their records say; unreadable records count nothing."""
    total = 0
    for path in record_files(store):
        record = store.record(path.parent.name, path.stem)
        if record is not None:
            total += record.part.size + sum(size for size, _ in record.payload.values())
    return total


def damages(store: Store, has_read: Callable[[int], object]) -> Iterator[Damage]:
    """Every damaged part of a store opened read-only; `has_read` is told of bytes."""
    for path in record_files(store):
        found = check(store, path.parent.name, path.stem)
        if found is not None:
            yield found
        record = store.record(path.parent.name, path.stem)
        if record is not None:
            has_read(record.part.size + sum(size for size, _ in record.payload.values()))


def check(store: Store, table: str, key: str) -> Damage | None:
    """What is wrong with a part, or None; also None for one that is gone by now."""
    path = store.root / table / f"{key}.json"
    record = store.record(table, key)
    if record is None:
        if not path.exists():
            return None
        return Damage(table, key, "its record cannot be read")
    reason = _wrong_record(record, table, key) or _wrong_files(store, record)
    return Damage(table, key, reason) if reason else None


def _wrong_record(record: Record, table: str, key: str) -> str | None:
    part = record.part
    recipe = json.dumps(dict(record.recipe), sort_keys=True)
    if (part.table, part.key) != (table, key) or ids.digest(recipe) != key:
        return "its record is not of this part: the recipe in it gives another key"
    if part.chain[-1:] != (part.content,):
        return "its record contradicts itself: the chain does not end in the content"
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
    return _wrong_payload(file.with_suffix(""), record.payload)


def _wrong_payload(folder: Path, manifest: Any) -> str | None:
    for name, (size, digest) in manifest.items():
        reason = _wrong_file(folder / name, size, digest)
        if reason:
            return f"its payload file {name} {reason}"
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    strange = sorted(found - set(manifest))  # a model folder counts with all that loading reads
    return f"its payload has a file that was not committed: {strange[0]}" if strange else None


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
    """Sets a damaged part aside, so that the next run builds it alone; False where a run has it in
    hand right now, or has built it again since."""
    with store.lock(damage.table, damage.key) as mine:
        looking = Store(store.root, read_only=True)  # else looking would set aside the record alone
        if not mine or check(looking, damage.table, damage.key) is None:
            return False
        # What is set aside follows from the name alone: the record itself may be what is wrong.
        store.quarantine(Part(damage.table, damage.key, "", 0, (), 0.0, 0), damage.reason)
        return True
