"""Rows that somebody else wrote, one record at a time, and the readers of JSON.

A record is either values or a fault; nothing in such a file may stop a run, and nothing is
repaired in silence. Files are scanned in order and never held in memory; a record is found again
by its place.
"""

from __future__ import annotations

import io
import json
import mmap
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import count, islice
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import pyarrow as pa

BYTES = 8 * 2**20
"""Most bytes of rows in memory at a time, one row aside."""
MOST_LINE = 256 * 2**20
"""Longest line of a JSONL file: a megabyte of gzip may unpack to a gigabyte without a line end."""

Values = Mapping[str, Any]


class BadTable(ValueError):
    """A table that cannot be read or written, with its place, the rule and the way out."""


class SourceRow(NamedTuple):  # a million a minute: a dataclass that is frozen takes 1.5 us each
    """One row as it was found."""

    item: int
    """Line or row number from 0; blank lines count. Meaningless in a record that was fetched."""
    place: int
    """Where `fetch` finds it again: a byte offset in a text file, else the row number."""
    found: bytes | Values
    """The line without its end, or the columns of a row of a table."""
    values: Values
    fault: str | None = None
    """Why there are no values."""
    num_replaced: int = 0
    """Lone surrogates that became U+FFFD."""
    line: int | None = None
    """Number from 1 of the line that the row ends on, in files that have one row a line."""

    @property
    def raw(self) -> bytes:
        """The bytes as they were; columns are written as JSON."""
        if isinstance(self.found, bytes):
            return self.found
        return json.dumps(self.found, default=str).encode()


class SourceRows(Protocol):
    """A source of records that can be read twice."""

    def names(self) -> list[str]:
        """Column names. Raises BadTable where there is none."""

    def scan(self) -> Iterator[SourceRow]: ...

    def fetch(self, places: Sequence[int]) -> Iterator[SourceRow]:
        """The records at `places`, in their order; cheapest when ascending."""


_SAMPLE = 100
"""Rows whose keys are taken as the columns of a JSON file."""


def _names(path: Path, records: Iterator[SourceRow]) -> list[str]:
    names: dict[str, None] = {}
    why = "blank, and all others"
    for number, record in enumerate(islice(records, _SAMPLE)):
        names |= dict.fromkeys(record.values)
        why = record.fault or "an object without keys" if number == 0 else why
    if not names:
        raise BadTable(f"{path} has no column: its first line is {why}")
    return list(names)


# ---------------------------------------------------------------------------- one object a line


class JsonLines:
    """One JSON object a line; UTF-8 with or without a BOM, Unix or Windows line ends.

    With a compression (`gzip`, `zstd`) the file is unpacked as it is scanned, and into a temporary
    file (of `TMPDIR`) once records are fetched.
    """

    def __init__(self, path: Path, compression: str | None = None) -> None:
        self.path, self.compression = path, compression
        self._unpacked: IO[bytes] | None = None

    def names(self) -> list[str]:
        return _names(self.path, self.scan())

    def scan(self) -> Iterator[SourceRow]:
        return parsed_lines(self._lines())

    def fetch(self, places: Sequence[int]) -> Iterator[SourceRow]:
        file = self._seekable()
        for place in places:
            file.seek(place)
            yield parsed(0, place, _line(file.readline(), place))

    def _lines(self) -> Iterator[bytes]:
        with self._open() as file:
            try:
                for number in count(1):
                    line = file.readline(MOST_LINE + 1)
                    if len(line) > MOST_LINE:
                        raise BadTable(
                            f"{self.path}, line {number}: more than {MOST_LINE // 2**20} MB "
                            "without a line end; give one JSON object a line"
                        )
                    if not line:
                        return
                    yield line
            except OSError as error:
                if self.compression is None:
                    raise
                raise BadTable(
                    f"{self.path} is not {self.compression}, or is cut or damaged: {error}"
                ) from error

    def _open(self) -> IO[bytes]:
        if self.compression is None:
            return self.path.open("rb")
        return io.BufferedReader(_Unpacking(self.path, self.compression), 1 << 20)

    def _seekable(self) -> IO[bytes]:
        if self._unpacked is None and self.compression is None:
            self._unpacked = self.path.open("rb")
        elif self._unpacked is None:
            unpacked = tempfile.TemporaryFile()  # noqa: SIM115 - as long as this reader lives
            with self._open() as packed:
                shutil.copyfileobj(packed, unpacked, 1 << 20)
            self._unpacked = unpacked
        return self._unpacked


class _Unpacking(io.RawIOBase):
    """Arrow's stream of a compressed file as Python's, which knows lines."""

    def __init__(self, path: Path, compression: str) -> None:
        self._stream = pa.input_stream(str(path), compression=compression)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return int(self._stream.readinto(buffer))


def parsed_lines(lines: Iterable[bytes]) -> Iterator[SourceRow]:
    """The records in lines of JSON; blank ones are left out."""
    place = 0
    for item, line in enumerate(lines):
        raw = _line(line, place)
        if raw.strip():
            yield parsed(item, place, raw, item + 1)
        place += len(line)


def _line(line: bytes, place: int) -> bytes:
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    return line.removeprefix(b"\xef\xbb\xbf") if place == 0 else line


# ---------------------------------------------------------------------------- one JSON document


class JsonDocument:
    """A `.json` file: an array of objects, or objects one after the other, on any number of lines.

    The file is mapped into memory, not read: what ends an element is found byte by byte, and one
    element at a time is parsed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        return _names(self.path, self.scan())

    def scan(self) -> Iterator[SourceRow]:
        with self._mapped() as data:
            for item, (start, stop) in enumerate(_elements(data)):
                yield parsed(item, start, data[start:stop])

    def fetch(self, places: Sequence[int]) -> Iterator[SourceRow]:
        with self._mapped() as data:
            for place in places:
                yield parsed(0, place, data[place : _end(data, place)])

    def _mapped(self) -> closing[mmap.mmap]:
        with self.path.open("rb") as file:
            return closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


# Possessive, so that a string of megabytes leaves no trail of places to come back to.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[{}\[\],]', re.DOTALL)
_FIRST = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*")
_BETWEEN = re.compile(rb"[ \t\r\n,]*")


def _elements(data: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Where the elements of the outer array are, or the values that stand one after the other."""
    first = _FIRST.match(data)
    at = first.end() if first else 0
    is_array = data[at : at + 1] == b"["
    at += is_array
    while True:
        between = _BETWEEN.match(data, at)
        at = between.end() if between else at
        if at >= len(data) or (is_array and data[at : at + 1] == b"]"):
            return
        stop = _end(data, at)
        yield at, stop
        at = stop


def _end(data: mmap.mmap, start: int) -> int:
    """The end of the value that begins at `start`; that of the file where it is never closed."""
    depth = 0
    for token in _TOKEN.finditer(data, start):
        kind = token.group()[:1]
        if depth == 0 and kind in b",]}":
            return max(token.start(), start + 1)
        depth += (kind in b"{[") - (kind in b"}]")
        if depth == 0 and kind in b'}]"':
            return token.end()
    return len(data)


# ---------------------------------------------------------------------------- one object


_SURROGATE = re.compile("[\ud800-\udfff]")
_MAY_HOLD_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")


def parsed(item: int, place: int, raw: bytes, line: int | None = None) -> SourceRow:
    """The record in some bytes of JSON."""
    values, fault, num_replaced = _parsed(raw)
    return SourceRow(item, place, raw, values, fault, num_replaced, line)


def _parsed(raw: bytes) -> tuple[Values, str | None, int]:
    """Values, fault, and lone surrogates replaced. A key that appears twice is a fault, since one
    of its values would be lost."""
    try:
        # surrogatepass: some writers encode a lone surrogate as three bytes
        text = raw.decode("utf-8", "surrogatepass")
        values = _DECODER.decode(text)
    except UnicodeDecodeError as error:
        return {}, f"not UTF-8 at byte {error.start}", 0
    except json.JSONDecodeError as error:
        return {}, f"not JSON: {error.msg} at character {error.pos}", 0
    except (ValueError, RecursionError) as error:
        return {}, f"not JSON: {error}", 0
    if not isinstance(values, dict):
        return {}, f"a JSON {type(values).__name__}, not an object", 0
    # Looking for a byte takes a tenth of the time of a pattern's search.
    if not (b"\\" in raw or b"\xed" in raw) or not _MAY_HOLD_SURROGATE.search(raw):
        return values, None, 0
    clean, num_replaced = without_surrogates(values)
    return clean, None, num_replaced


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:40]!r} appears twice")
    return values


_DECODER = json.JSONDecoder(object_pairs_hook=_object)  # `json.loads` would make one for each row


def without_surrogates(value: Any) -> tuple[Any, int]:
    """The value with U+FFFD for each lone surrogate, and how many there were."""
    if isinstance(value, str):
        return _SURROGATE.subn("\ufffd", value)
    if isinstance(value, list):
        pairs = [without_surrogates(item) for item in value]
        return [item for item, _ in pairs], sum(count for _, count in pairs)
    if isinstance(value, dict):
        keys, num_in_keys = without_surrogates(list(value))
        items, num_in_items = without_surrogates(list(value.values()))
        return dict(zip(keys, items, strict=True)), num_in_keys + num_in_items
    return value, 0
