"""Parts in an object store, of which the local folder is a read-through cache.

    records/TABLE/KEY.json        created last, never replaced: the commit
    files/TABLE/KEY/HASH          the Parquet file, and each file of a payload
    TABLE/.leases/KEY/N           who builds the part (`leases.py`)

A file is named by its hash, so a builder that comes late never touches the files of the part that
was committed. Files without a record are left of a crash; they are used again or lie there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rdpt_core.files.hashing import file_hash
from rdpt_core.files.replacing import replacing, write_durably
from rdpt_core.store.objects import Objects
from rdpt_core.store.record import Record, record_bytes

LISTING_SECONDS = 1.0
"""Age at which a list of records is read again: a plan asks for each of ten thousand parts. Whoever
claims a part asks for its record itself."""


class Lost(Exception):
    """A committed object is missing or has other bytes."""


@dataclass
class RemoteParts:
    """The committed parts of an object store."""

    objects: Objects
    _listed: dict[str, tuple[float, set[str]]] = field(default_factory=dict)

    def pull_record(self, table: str, key: str, path: Path, is_sure: bool = False) -> bool:
        """Writes the record to `path`; False if there is none. `is_sure` asks for the object, else
        a list of all records that is at most a second old decides."""
        if not is_sure and key not in self._keys(table):
            return False
        content = self.objects.read(_record(table, key))
        if content is None:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, content)
        return True

    def publish(self, record: Record, file: Path, folder: Path) -> bool:
        """Uploads the files, then creates the record; False if another record exists."""
        self.objects.upload(_file(record, record.hash), file)
        for name, (_, digest) in record.payload.items():
            self.objects.upload(_file(record, digest), folder / name)
        return self.objects.create(
            _record(record.part.table, record.part.key), record_bytes(record)
        )

    def fetch(self, record: Record, file: Path) -> None:
        """Writes the Parquet file of a part. Raises Lost."""
        self._fetch(record, record.hash, file)
        os.utime(file, ns=(record.mtime_ns, record.mtime_ns))  # as `Store.find` expects it

    def fetch_payload(self, record: Record, folder: Path, names: Iterable[str]) -> None:
        """Writes files of the payload that are missing. Raises Lost."""
        for name in names:
            if not (folder / name).exists():
                self._fetch(record, record.payload[name][1], folder / name)

    def withdraw(self, record: Record) -> None:
        """Removes the record of a part whose objects do not hold, so that it is built again."""
        self.objects.remove(_record(record.part.table, record.part.key))
        self._listed.pop(record.part.table, None)

    def _fetch(self, record: Record, digest: str, path: Path) -> None:
        name = _file(record, digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as new:
            if not self.objects.download(name, new):
                raise Lost(f"{self.objects.address}/{name} is missing")
            if file_hash(new) != digest:
                raise Lost(f"{self.objects.address}/{name} has changed since it was committed")

    def _keys(self, table: str) -> set[str]:
        since, keys = self._listed.get(table, (-LISTING_SECONDS, set()))
        if time.monotonic() - since > LISTING_SECONDS:
            since = time.monotonic()
            names = self.objects.entries(f"records/{table}")
            keys = {name.removesuffix(".json") for name in names}
            self._listed[table] = since, keys
        return keys


def _record(table: str, key: str) -> str:
    return f"records/{table}/{key}.json"


def _file(record: Record, digest: str) -> str:
    return f"files/{record.part.table}/{record.part.key}/{digest}"
