"""The store: durable parts, `store/<table>/<key>.parquet` next to `<key>.json`.

The record, written last, commits a part; files without a record are not a result. A committed part
is never edited. The one distinction drawn here: the *key* identifies the inputs of a part, the
*content* its rows, and the file's *hash* shows whether the disk still holds it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from rdpt_core.files.hashing import file_hash
from rdpt_core.files.replacing import create, replacing, sync, write_durably
from rdpt_core.store import notes
from rdpt_core.store.holding import Holder, PartLocks
from rdpt_core.store.leases import Leases
from rdpt_core.store.notes import Notes
from rdpt_core.store.record import Coordinate, Part, Record, read_record, record_bytes, shown
from rdpt_core.store.remote import Lost, RemoteParts
from rdpt_core.tables import columns, ids
from rdpt_core.tables.recipe import Recipe

R = TypeVar("R")

PAYLOAD = "payload"
"""Folder of a part's work folder that becomes its payload."""


class Damaged(Exception):
    """A part whose bytes differ from those committed. It is already quarantined, unless the store
    is read-only."""


class LeaseLost(Exception):
    """Another process builds the part, since this one was stopped for longer than its lease."""


class Conflict(Exception):
    """Another process committed other rows for the same key."""


def contents_digest(parts: Iterable[Part]) -> str:
    """Identity of what a table holds, for those who look at it; keys are made of single parts."""
    return ids.digest("parts", [part.content for part in parts])


def _hashes(payload: Path) -> dict[str, tuple[int, str]]:
    """Size and hash of each file of a payload, by its relative path."""
    files = sorted(path for path in payload.rglob("*") if path.is_file())
    return {
        str(path.relative_to(payload)): (path.stat().st_size, file_hash(path)) for path in files
    }


class Store:
    """Parts on disk. Safe under threads, processes and kill -9."""

    def __init__(
        self,
        root: Path,
        warn: Callable[[str], None] = lambda line: None,
        read_only: bool = False,
        leases: Leases | None = None,
        remote: RemoteParts | None = None,
    ) -> None:
        """Calls `warn` for damaged parts; with `read_only` they are not moved. With `leases`, they
        lock a part in place of flock. With `remote`, that holds the parts, and `root` is its cache
        (`opening.py` chooses)."""
        self.root, self.read_only, self.leases, self.remote = root, read_only, leases, remote
        self._warn = warn
        self._locks = PartLocks(root, leases, is_cache=remote is not None)

    # ------------------------------------------------------------------ reading

    def find(self, table: str, key: str) -> Part | None:
        """The committed part, if its file has the size it was committed with.

        If only the mtime differs, the file is hashed. A damaged part is quarantined, and None is
        returned. Of a remote part the record is enough: its files are fetched when they are read.
        """
        record = self.record(table, key)
        if record is None:
            return None
        if not self.is_here(record.part):
            return record.part
        try:
            status = os.stat(os.path.join(self.root, table, f"{key}.parquet"))
            sound = status.st_size == record.part.size and self._payload_sizes_hold(record)
        except (FileNotFoundError, NotADirectoryError):
            sound = False
        if sound and status.st_mtime_ns != record.mtime_ns:
            sound = file_hash(self.file(record.part)) == record.hash
            if sound:
                with suppress(OSError):  # in a read-only workspace, the file is hashed each time
                    os.utime(self.file(record.part), ns=(record.mtime_ns, record.mtime_ns))
        if not sound:
            self.quarantine(table, key, "its file is missing or has changed")
            fresh = self.record(table, key) if self.remote else None
            return fresh.part if fresh else None
        return record.part

    def record(self, table: str, key: str) -> Record | None:
        """The part's record. If it is damaged, None, and the part is quarantined."""
        path = os.path.join(self.root, table, f"{key}.json")
        try:
            return read_record(path)
        except (FileNotFoundError, NotADirectoryError):
            if self.remote and self.remote.pull_record(table, key, Path(path)):
                return read_record(path)
            return None
        except ValueError as error:
            self.quarantine(table, key, f"its record {error}")
            return None

    def rows(self, row: type[R], part: Part) -> list[R]:
        """All rows, in primary-key order. Raises Damaged."""
        return columns.read_parquet(row, self.sound_file(part))

    def sound_file(self, part: Part) -> Path:
        """The part's file, after checking its hash. Raises Damaged if the bytes differ from those
        committed."""
        record = self.record(part.table, part.key)
        path = self.file(part)
        if record is None or not path.exists() or file_hash(path) != record.hash:
            self.quarantine(
                part.table, part.key, "its bytes have changed since they were committed"
            )
            raise self._damaged(part)
        return path

    def payload(self, part: Part) -> Path:
        """The payload folder, after checking each file against its hash."""
        folder = self.root / part.table / part.key
        record = self.record(part.table, part.key)
        if record is not None:
            self._fetch(record, record.payload)
        if record is None or any(
            not (folder / name).exists() or file_hash(folder / name) != expected
            for name, (_, expected) in record.payload.items()
        ):
            self.quarantine(part.table, part.key, "its payload has changed since it was committed")
            raise self._damaged(part)
        return folder

    def payload_file(self, part: Part, name: str) -> Path | None:
        """One file of the payload, checked alone: those next to it may be many gigabytes. None
        where the part has none of that name, or it does not hold."""
        record, path = self.record(part.table, part.key), self.root / part.table / part.key / name
        if record is None or name not in record.payload:
            return None
        self._fetch(record, [name])
        return path if path.is_file() and file_hash(path) == record.payload[name][1] else None

    def keys(self, table: str) -> list[str]:
        """Keys of the parts of a table that have a record here, sorted; nothing is read."""
        try:
            names = os.listdir(self.root / table)
        except FileNotFoundError:
            return []
        ends = [name.removesuffix(".json") for name in names if name.endswith(".json")]
        return sorted(key for key in ends if not key.startswith("."))

    def records(self, table: str) -> Iterator[Record]:
        for key in self.keys(table):
            record = self.record(table, key)
            if record is not None:
                yield record

    def is_here(self, part: Part) -> bool:
        """False if the file of a remote part was not fetched yet."""
        if self.remote is None:
            return True
        return os.path.exists(os.path.join(self.root, part.table, f"{part.key}.parquet"))

    def committed_at(self, part: Part) -> float:
        """When the part was committed, by the clock of the disk; 0 if it is gone."""
        try:
            return os.stat(self.root / part.table / f"{part.key}.json").st_mtime
        except FileNotFoundError:
            return 0.0

    def file(self, part: Part) -> Path:
        """The part's file, unchecked; that of a remote part is fetched. Raises Damaged if the
        remote one is lost."""
        path = self.root / part.table / f"{part.key}.parquet"
        if not self.is_here(part) and (record := self.record(part.table, part.key)):
            self._fetch(record)
        return path

    def _fetch(self, record: Record, payload: Iterable[str] = ()) -> None:
        """Brings the file of a remote part here, and these files of its payload."""
        if self.remote is None:
            return
        part = record.part
        path = self.root / part.table / f"{part.key}.parquet"
        try:
            if not path.exists():
                self.remote.fetch(record, path)
            self.remote.fetch_payload(record, path.with_suffix(""), payload)
        except Lost as error:
            if not self.read_only:
                self.remote.withdraw(record)
            self.quarantine(part.table, part.key, str(error))
            raise self._damaged(part) from error

    def _payload_sizes_hold(self, record: Record) -> bool:
        folder = self.root / record.part.table / record.part.key
        return all(
            (folder / name).stat().st_size == record.payload[name][0]
            for name in self.payload_here(record)
        )

    def payload_here(self, record: Record) -> list[str]:
        """Names of the files of the payload that are to be here: of a remote part those that were
        fetched."""
        folder = self.root / record.part.table / record.part.key
        return [n for n in record.payload if self.remote is None or (folder / n).exists()]

    # ------------------------------------------------------------------ writing

    def commit(
        self,
        row: type,
        recipe: Recipe,
        rows: Sequence[object],
        *,
        coordinate: Coordinate = (),
        inputs: Mapping[str, Sequence[str]] | None = None,
        seconds: float = 0.0,
        made: Mapping[str, Any] | None = None,
        payload: Path | None = None,
    ) -> Part:
        """Publishes rows (and moves the folder `payload` in) as the part of `recipe`.

        The caller holds the part's lock. File, rename, folder, then the record, each synced before
        the next, so a record implies the files that it names. Only then is the work folder removed:
        until a part is committed, all finished work on it is kept.
        """
        table, key = row.TABLE, recipe.key  # type: ignore[attr-defined]
        folder, work = self.root / table, self.workdir(table, key)
        work.mkdir(parents=True, exist_ok=True)
        ordered = columns.in_key_order(row, rows)
        hashes = _hashes(payload) if payload else {}
        content = columns.content_digest(row, ordered, json.dumps(hashes, sort_keys=True))
        if late := self._committed_by_another(table, key, content):
            return late
        if payload:
            self._publish_payload(folder / key, payload)
        final = folder / f"{key}.parquet"
        with replacing(final, within=work) as path:  # which goes with the folder, also after a kill
            columns.write_parquet(row, ordered, path)
        status = final.stat()
        part = Part(
            table,
            key,
            content,
            len(ordered),
            seconds,
            status.st_size,
            payload is not None,
            shown(made or {}),
        )
        record = Record(
            part,
            recipe.as_json(),
            dict(inputs or {}),
            status.st_mtime_ns,
            file_hash(final),
            hashes,
            dict(made or {}),
            coordinate,
        )
        part = self._publish(record)
        shutil.rmtree(self.workdir(table, key), ignore_errors=True)
        return part

    def _publish_payload(self, target: Path, payload: Path) -> None:
        files = [path for path in payload.rglob("*") if path.is_file()]
        for path in (*files, *{path.parent for path in files}):
            sync(path)
        if target.exists():
            shutil.rmtree(target)
        payload.rename(target)
        sync(target.parent)

    def _publish(self, record: Record) -> Part:
        """The part as committed. A flock keeps others out until here; a lease may be lost at any
        moment, so there the record is created, and one that exists counts."""
        table, key = record.part.table, record.part.key
        if self.remote:
            path = self.root / table / f"{key}.parquet"
            if not self.remote.publish(record, path, path.with_suffix("")):
                path.unlink()  # the committed one may have other bytes for the same rows
                return self._as_committed(table, key, record.part.content)
            self.seal(record)
        elif self.leases is None:
            self.seal(record)
        elif not create(self._record_path(table, key), record_bytes(record)):
            return self._as_committed(table, key, record.part.content)
        return record.part

    def _committed_by_another(self, table: str, key: str, content: str) -> Part | None:
        """None where this process may commit the part; else the part, which has equal content."""
        if self.leases is None:
            return None
        if self._locks.is_mine(table, key) and not self._record_path(table, key).exists():
            return None
        return self._as_committed(table, key, content)

    def _as_committed(self, table: str, key: str, content: str) -> Part:
        """The part that another process committed. Raises LeaseLost if it has not yet, and Conflict
        if it committed other rows."""
        self._pull(table, key)
        name, record = f"{table}/{key[:12]}", self.record(table, key)
        if record is None:
            raise LeaseLost(
                f"{name} is being built by another process: this one was stopped, or did not reach "
                f"the store, for longer than its lease"
            )
        if record.part.content != content:
            raise Conflict(
                f"{name} was committed meanwhile by another process with other rows (content "
                f"{record.part.content[:12]}, here {content[:12]}): the committed ones stay. Equal "
                "keys give equal rows on equal machines; compare processors and packages in "
                f"`made` of {self._record_path(table, key)}"
            )
        return record.part

    def seal(self, record: Record) -> None:
        """Writes a record with its digest, which commits the part. The caller holds the part's
        lock."""
        write_durably(self._record_path(record.part.table, record.part.key), record_bytes(record))

    def _pull(self, table: str, key: str) -> None:
        """Brings a remote record here that may have been committed a moment ago."""
        path = self._record_path(table, key)
        if self.remote and not path.exists():
            self.remote.pull_record(table, key, path, is_sure=True)

    def _record_path(self, table: str, key: str) -> Path:
        return self.root / table / f"{key}.json"

    # ------------------------------------------------------------------ work in progress

    def workdir(self, table: str, key: str) -> Path:
        """The folder for finished work of an unfinished part; only its commit removes it."""
        return self.root / table / ".work" / key

    def begin(self, table: str, key: str) -> Path:
        """The work folder of a part about to be built; the caller holds its lock.

        A commit killed before its record may have moved the payload out already: it is moved back,
        so that the stage finds everything in its place.
        """
        folder, moved = self.workdir(table, key), self.root / table / key
        folder.mkdir(parents=True, exist_ok=True)
        if moved.is_dir() and self.record(table, key) is None:
            shutil.rmtree(folder / PAYLOAD, ignore_errors=True)
            moved.rename(folder / PAYLOAD)
        return folder

    @contextmanager
    def lock(self, table: str, key: str, wait: bool = False) -> Iterator[bool]:
        """Yields True if the caller may build the part; with `wait` it blocks until then."""
        with self._locks.hold(table, key, wait) as mine:
            if mine and self.leases:
                self._pull(table, key)
            yield mine

    def holder(self, table: str, key: str) -> Holder | None:
        """The holder of a part's lock, according to its file."""
        return self._locks.holder(table, key)

    # ------------------------------------------------------------------ damage

    @property
    def notes(self) -> Notes:
        """The reader of the notes next to this store's parts."""
        return Notes(self.root / "quarantine", self._warn, self.read_only)

    def quarantine(self, table: str, key: str, reason: str) -> None:
        """Moves a part to the quarantine, so that the next run rebuilds it; its record goes first.
        With `read_only` it only warns."""
        line = f"warning: {table}/{key[:12]}: {reason}; "
        if self.read_only:
            notes.say_once(self._warn, self.root, f"{line}rdpt verify --repair sets it aside")
            return
        self._warn(f"{line}it is set aside")
        for name in (f"{key}.json", f"{key}.parquet", key):
            self.notes.set_aside(self.root / table / name)
        (self.notes.quarantine / f"{key}.reason").write_text(f"{table}/{key}: {reason}\n")

    def _damaged(self, part: Part) -> Damaged:
        name = f"part {part.table}/{part.key}"
        if self.read_only:
            return Damaged(f"{name} is damaged: rdpt verify --repair sets it aside")
        return Damaged(f"{name} was damaged and is set aside")
