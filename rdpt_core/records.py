"""Rows of files that somebody else wrote: JSONL, Parquet and hub data sets, one record at a time.

A record is either values or a fault; nothing in such a file may stop a run, and nothing is
repaired in silence. Files are scanned in order and never held in memory; a record is found again
by its place.
"""

from __future__ import annotations

import json
import math
import os
import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from rdpt_core.spelling import nearest
from rdpt_core.table_files import BadTable

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """One row as it was found."""

    item: int
    """Line or row number from 0; blank lines count."""
    place: int
    """Where `fetch` finds it again: a byte offset in JSONL, else the row number."""
    found: bytes | Values
    """The line without its end, or the columns of a Parquet or hub row."""
    values: Values
    fault: str | None = None
    """Why there are no values."""
    num_replaced: int = 0
    """Lone surrogates that became U+FFFD."""

    @property
    def raw(self) -> bytes:
        """The bytes as they were; columns are written as JSON."""
        if isinstance(self.found, bytes):
            return self.found
        return json.dumps(self.found, default=str).encode()


class Records(Protocol):
    """A source of records that can be read twice."""

    def names(self) -> list[str]:
        """Column names."""

    def scan(self) -> Iterator[Record]: ...

    def fetch(self, places: Sequence[int]) -> Iterator[Values]:
        """The values at `places`, in their order; cheapest when ascending."""


def open_records(path: Path) -> JsonLines | ParquetRows:
    """Raises BadTable for a file that is missing, empty, cut or of another kind."""
    if not os.path.isfile(path):  # Path.is_file raises for a name that is too long
        raise BadTable(f"{path} is no file: give a .jsonl or .parquet file")
    if path.suffix not in (".jsonl", ".parquet"):
        raise BadTable(
            f"{path} ends in {path.suffix or 'nothing'}: rdpt reads .jsonl and .parquet here"
        )
    if not path.stat().st_size:
        raise BadTable(f"{path} is empty: give a file with one row for each problem or trace")
    return JsonLines(path) if path.suffix == ".jsonl" else ParquetRows(path)


_SAMPLE = 100
"""Rows whose keys are taken as the columns of a JSONL file."""


class JsonLines:
    """One JSON object a line; UTF-8 with or without a BOM, Unix or Windows line ends."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """Raises BadTable where no line of the sample is an object with a key."""
        sample = list(islice(self.scan(), _SAMPLE))
        keys = list(dict.fromkeys(key for record in sample for key in record.values))
        if not keys:
            why = sample[0].fault or "an object without keys" if sample else "blank, and all others"
            raise BadTable(f"{self.path} has no column: its first line is {why}")
        return keys

    def scan(self) -> Iterator[Record]:
        place = 0
        with self.path.open("rb") as file:
            for item, line in enumerate(file):
                raw = _line(line, place)
                if raw.strip():
                    yield _parsed(item, place, raw)
                place += len(line)

    def fetch(self, places: Sequence[int]) -> Iterator[Values]:
        with self.path.open("rb") as file:
            for place in places:
                file.seek(place)
                yield _parsed(0, place, _line(file.readline(), place)).values


def _line(line: bytes, place: int) -> bytes:
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    return line.removeprefix(b"\xef\xbb\xbf") if place == 0 else line


_SURROGATE = re.compile("[\ud800-\udfff]")
_MAY_HOLD_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")


def _parsed(item: int, place: int, raw: bytes) -> Record:
    try:
        # surrogatepass: some writers encode a lone surrogate as three bytes
        values = json.loads(raw.decode("utf-8", "surrogatepass"))
    except UnicodeDecodeError as error:
        return Record(item, place, raw, {}, f"not UTF-8 at byte {error.start}")
    except json.JSONDecodeError as error:
        return Record(item, place, raw, {}, f"not JSON: {error.msg} at character {error.pos}")
    except (ValueError, RecursionError) as error:
        return Record(item, place, raw, {}, f"not JSON: {error}")
    if not isinstance(values, dict):
        return Record(item, place, raw, {}, f"a JSON {type(values).__name__}, not an object")
    if not _MAY_HOLD_SURROGATE.search(raw):
        return Record(item, place, raw, values)
    clean, num_replaced = _without_surrogates(values)
    return Record(item, place, raw, clean, None, num_replaced)


def _without_surrogates(value: Any) -> tuple[Any, int]:
    if isinstance(value, str):
        return _SURROGATE.subn("\ufffd", value)
    if isinstance(value, list):
        pairs = [_without_surrogates(item) for item in value]
        return [item for item, _ in pairs], sum(count for _, count in pairs)
    if isinstance(value, dict):
        keys, num_in_keys = _without_surrogates(list(value))
        items, num_in_items = _without_surrogates(list(value.values()))
        return dict(zip(keys, items, strict=True)), num_in_keys + num_in_items
    return value, 0


_CACHE_BYTES = 256 * 2**20


class ParquetRows:
    """Rows of a Parquet file; `fetch` keeps some row groups, since candidates of one problem are
    often a group or more apart. A file that is cut or damaged raises BadTable."""

    def __init__(self, path: Path, columns: Sequence[str] | None = None) -> None:
        self.path = path
        self.columns = columns
        with _sound(path):
            self._file = pq.ParquetFile(path)
        self._starts = [0]
        for group in range(self._file.num_row_groups):
            self._starts.append(self._starts[-1] + self._file.metadata.row_group(group).num_rows)
        self._cache: OrderedDict[int, pa.Table] = OrderedDict()

    def names(self) -> list[str]:
        return list(self._file.schema_arrow.names)

    def scan(self) -> Iterator[Record]:
        row = 0
        with _sound(self.path):
            for batch in self._file.iter_batches(batch_size=256, columns=self.columns):
                yield from _of_batch(batch, row)
                row += batch.num_rows

    def fetch(self, places: Sequence[int]) -> Iterator[Values]:
        for place in places:
            group = bisect_right(self._starts, place) - 1
            row = place - self._starts[group]
            batch = self._group(group).slice(row, 1).to_batches()[0]
            yield next(_of_batch(batch, place)).values

    def _group(self, group: int) -> pa.Table:
        if group not in self._cache:
            with _sound(self.path):
                self._cache[group] = self._file.read_row_group(group, columns=self.columns)
            while len(self._cache) > 1 and self._cached_bytes() > _CACHE_BYTES:
                self._cache.popitem(last=False)
        self._cache.move_to_end(group)
        return self._cache[group]

    def _cached_bytes(self) -> int:
        return sum(table.nbytes for table in self._cache.values())


@contextmanager
def _sound(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:  # also names that are not UTF-8
        why = " ".join(str(error).split())
        raise BadTable(f"{path} is no Parquet file, or is cut or damaged: {why}") from error


def _of_batch(batch: pa.RecordBatch, row: int) -> Iterator[Record]:
    # Not by name: a file may have two columns of one name, of which the last counts, as in JSON.
    columns = dict(zip(batch.schema.names, map(_as_python, batch.columns), strict=True))
    for index in range(batch.num_rows):
        yield _of_values(row + index, {name: column[index] for name, column in columns.items()})


def _as_python(column: pa.Array) -> list[Any]:
    """Strings as bytes: Arrow does not check that a file's strings are UTF-8."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return list(column.cast(pa.large_binary()).to_pylist())
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):
        return [_cell(value) for value in column]


class _Unreadable(NamedTuple):
    """A cell without a value in Python: nested text that is not UTF-8, a date beyond year 9999."""

    why: str


def _cell(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except (ValueError, OverflowError) as error:
        return _Unreadable(str(error))


def _of_values(item: int, values: Mapping[str, Any]) -> Record:
    decoded: dict[str, Any] = {}
    fault = None
    for name, value in values.items():
        try:
            if isinstance(value, bytes):
                value = value.decode("utf-8", "surrogatepass")
            if isinstance(value, _Unreadable):
                fault, value = f"{name} cannot be read: {value.why}", None
            decoded[name] = value
        except UnicodeDecodeError as error:
            fault = f"{name} is not UTF-8 at byte {error.start}"
            decoded[name] = value.decode("utf-8", "backslashreplace")
    clean, num_replaced = _without_surrogates(decoded)
    return Record(item, item, decoded, {} if fault else clean, fault, num_replaced)


class HubRows:
    """A split of a data set of the hub, through `datasets`, which runs no code of the set."""

    def __init__(self, path: str, config: str | None, split: str, revision: str | None) -> None:
        from datasets import load_dataset

        self._rows = load_dataset(path, config, split=split, revision=revision)

    def names(self) -> list[str]:
        return list(self._rows.column_names)

    def scan(self) -> Iterator[Record]:
        for item, values in enumerate(self._rows):
            yield _of_values(item, values)

    def fetch(self, places: Sequence[int]) -> Iterator[Values]:
        for place in places:
            yield _of_values(place, self._rows[place]).values


def choose_column(
    what: str, given: str | None, names: Sequence[str], known: Sequence[str], required: bool = False
) -> str | None:
    """The column that holds `what`: the one given, or the first well-known name that is there.

    A given name may be a path into nested values, such as `messages.1.content`. Raises BadTable,
    naming the columns found and the nearest spelling, where a given or required one is missing.
    """
    if given is not None:
        if given in names or given.split(".")[0] in names:
            return given
        near = nearest(given, names, cutoff=0.5)
        hint = f", did you mean {near!r}?" if near else ""
        raise BadTable(
            f"no column {given!r} for {what}{hint} The columns found are {_listed(names)}"
        )
    folded = {name.lower(): name for name in reversed(names)}
    for name in known:
        if name in folded:
            return folded[name]
    if required:
        raise BadTable(
            f"no column looks like the {what} (known names: {', '.join(known)}): say which with "
            f"columns = {{ {what} = ... }}. The columns found are {_listed(names)}"
        )
    return None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def value_at(values: Values, column: str | None) -> Any:
    """The value of a column, or at a path into it; None where it is missing, or NaN, which is what
    data frames write for it."""
    found = _found_at(values, column)
    return None if isinstance(found, float) and math.isnan(found) else found


def _found_at(values: Values, column: str | None) -> Any:
    if column is None or column in values:
        return values.get(column) if column else None
    at: Any = values
    for step in column.split("."):
        if isinstance(at, Mapping):
            at = at.get(step)
        elif isinstance(at, list) and step.isdecimal() and int(step) < len(at):
            at = at[int(step)]
        else:
            return None
    return at
