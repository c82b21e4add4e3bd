"""The record of a part, `<key>.json`: what commits it, checks it and explains it.

It is written once and read very often, since a plan reads one for each part. So it begins with a
digest of its own remaining bytes, and where that holds nothing else is checked.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import TypeAdapter

from rdpt_core.store import notes

FORMAT = 2
"""Format of the records; rdpt refuses a store written by a newer release. Records of format 1 have
the contents of a part's ancestors in place of its coordinate, and a digest of values instead of
bytes, or no digest."""

Coordinate: TypeAlias = tuple[int, ...]
"""Position of a part in its table: the block of problems, then the sample; `()` if the table is one
part."""

PLACES = ("model", "reasons")
"""Entries of `Record.made` that say where something lies on this machine."""


class TooNew(Exception):
    """The store was written by a newer rdpt."""


@dataclass(frozen=True, slots=True)
class Part:
    """A committed part: enough to read it and to derive keys from it, never its rows."""

    table: str
    key: str
    content: str
    num_rows: int
    seconds: float
    """Wall time of building it."""
    size: int
    """Bytes of its file."""
    has_payload: bool = False
    made: str = field(default="{}", compare=False)
    """How it was built, as JSON, without paths of models and addresses of servers; for people."""


@dataclass(frozen=True, slots=True)
class Record:
    """Content of `<key>.json`: a Part, and how to check and explain it."""

    part: Part
    recipe: Mapping[str, Any]
    inputs: Mapping[str, Sequence[str]]
    """Argument name to the keys of its parts."""
    mtime_ns: int
    hash: str
    """xxh3_128 of the file: 73 of 200 flipped bits went unnoticed by Parquet itself."""
    payload: Mapping[str, tuple[int, str]]
    """Relative path to size and hash, for each file of the payload directory."""
    made: Mapping[str, Any]
    """Engine, packages, threads, notes; for the user, never for identity."""
    coordinate: Coordinate | None = None
    """Its coordinate in the table that it was first built for; for the user, since other
    experiments may use it elsewhere. None in a record of format 1."""
    is_sealed: bool = True
    """False in a record of an earlier release without a digest, until `rdpt verify` gives it one.
    """


_RECORD = TypeAdapter(Record)
_PART = [name for name in Part.__slots__ if name != "made"]
_FIELDS = {*Record.__slots__, "format"} - {"is_sealed"}
_HEAD = b'{\n "digest": "%s",\n'
"""Start of a record; its digest is over all bytes that follow."""
_HEAD_SIZE = len(_HEAD % (b"0" * 32))


def record_bytes(record: Record) -> bytes:
    """What the file of a record holds."""
    value = {name: getattr(record, name) for name in Record.__slots__ if name in _FIELDS}
    value |= {"format": FORMAT, "part": {n: getattr(record.part, n) for n in _PART}}
    # A line for each field: `indent` would take the slow encoder, half of the time of a commit.
    lines = [f"{json.dumps(n)}: {json.dumps(value[n], sort_keys=True)}" for n in sorted(value)]
    body = (" " + ",\n ".join(lines) + "\n}\n").encode()
    return _head(body) + body


def read_record(path: str | Path) -> Record:
    """Raises ValueError for a damaged record, TooNew for a record of a newer rdpt.

    A plan reads a record for each part, so this is counted in microseconds.
    """
    with open(path, "rb") as file:
        content = file.read()
    head, body = content[:_HEAD_SIZE], content[_HEAD_SIZE:]
    value = notes.load(content)
    written = value.get("format") if isinstance(value, dict) else None
    if head == _head(body) and written == FORMAT:
        return _as_written(value)
    if written == 1:
        return _of_format_1(value)
    if not isinstance(written, int):
        raise ValueError("has another shape (no format)")
    if written > FORMAT and not _is_known_format(value, head, body):
        raise TooNew(f"{path} was written by a newer rdpt (format {written})")
    raise ValueError("has changed since it was committed")


def _is_known_format(value: Mapping[str, Any], head: bytes, body: bytes) -> bool:
    """True if only the format number has changed since a record was written."""
    rest = {name: item for name, item in value.items() if name != "digest"}
    as_now = re.sub(rb'"format":[^,]*', b'"format": %d' % FORMAT, body, count=1)
    return head == _head(as_now) or value.get("digest") == notes.digest({**rest, "format": 1})


def _head(body: bytes) -> bytes:
    return _HEAD % hashlib.sha256(body).hexdigest()[:32].encode()


def _as_written(value: Mapping[str, Any]) -> Record:
    """A record whose bytes are as written, so that nothing in it needs a check."""
    return Record(
        Part(**value["part"], made=shown(value["made"])),
        value["recipe"],
        value["inputs"],
        value["mtime_ns"],
        value["hash"],
        {name: (size, digest) for name, (size, digest) in value["payload"].items()},
        value["made"],
        None if value["coordinate"] is None else tuple(value["coordinate"]),
    )


def _of_format_1(value: dict[str, Any]) -> Record:
    """A record of an earlier release; the first ones had no digest."""
    rest = {name: item for name, item in value.items() if name != "digest"}
    if "digest" in value and value["digest"] != notes.digest(rest):
        raise ValueError("has changed since it was committed")
    if rest.keys() != _FIELDS - {"coordinate"}:
        raise ValueError(f"has another shape (its fields are {', '.join(sorted(value))[:200]})")
    record = notes.fit({**rest, "is_sealed": "digest" in value}, _RECORD)
    chain = value["part"].get("chain")
    if not isinstance(chain, list) or chain[-1:] != [record.part.content]:
        raise ValueError("contradicts itself: the chain does not end in the content")
    return replace(record, part=replace(record.part, made=shown(record.made)))


def shown(made: Mapping[str, Any]) -> str:
    """Parts of a table mostly share it, and then there is one text in memory. A part that was just
    built has the same text as one that is read from its record."""
    kept = {name: value for name, value in made.items() if name not in PLACES}
    return sys.intern(json.dumps(kept, sort_keys=True))
