"""Rows that somebody else wrote in columns: CSV, Parquet, and data sets of `datasets` in Arrow.

A bounded piece is in memory at a time, whatever the length of a row. A row that cannot be read is a
record with a fault; a file that is cut or damaged raises BadTable.
"""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from rdpt_core.files.records import BYTES, BadTable, SourceRow, without_surrogates

_ROWS = 256
"""Most rows of a table that become Python values at a time."""


# ---------------------------------------------------------------------------- CSV


class CsvRows:
    """Comma-separated UTF-8 with a line of names; cells are text, and an empty one is `empty`."""

    def __init__(self, path: Path, empty: str | None = None) -> None:
        self.path, self._empty = path, empty
        with path.open("rb") as file:
            self._names = _unique(next(_cells(file, 0), _Row(0, [])).cells, path)

    def names(self) -> list[str]:
        return self._names

    def scan(self) -> Iterator[SourceRow]:
        with self.path.open("rb") as file:
            rows = _cells(file, 0)
            next(rows, None)  # the names
            for item, row in enumerate(rows):
                yield self._record(item, row)

    def fetch(self, places: Sequence[int]) -> Iterator[SourceRow]:
        with self.path.open("rb") as file:
            for place in places:
                file.seek(place)
                yield self._record(0, next(_cells(file, place)))

    def _record(self, item: int, row: _Row) -> SourceRow:
        cells = (cell or self._empty for cell in row.cells)
        values, fault = dict(zip(self._names, cells, strict=False)), row.fault
        if fault is None and len(row.cells) != len(self._names):
            fault = f"{len(row.cells)} cells where the line of names has {len(self._names)}"
        return SourceRow(item, row.place, values, {} if fault else values, fault, line=row.line)


class _Row(NamedTuple):
    place: int
    cells: list[str]
    line: int = 1
    fault: str | None = None


class _Lines:
    """Lines of a file as text, with the place of the next one."""

    def __init__(self, file: IO[bytes], place: int) -> None:
        self._file, self.place, self.is_utf8 = file, place, True

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            start, self.place = self.place, self.place + len(line)
            raw = line.removeprefix(b"\xef\xbb\xbf") if start == 0 else line
            try:
                yield raw.decode()
            except UnicodeDecodeError:
                self.is_utf8 = False
                yield raw.decode("utf-8", "backslashreplace")


def _cells(file: IO[bytes], place: int) -> Iterator[_Row]:
    csv.field_size_limit(2**31 - 1)  # a trace is one cell
    lines = _Lines(file, place)
    rows = csv.reader(iter(lines), strict=True)
    while True:
        start, lines.is_utf8 = lines.place, True
        try:
            cells = next(rows, None)
        except csv.Error as error:
            yield _Row(start, [], rows.line_num, f"not CSV: {error}")
            continue
        if cells is None:
            return
        if cells:
            yield _Row(start, cells, rows.line_num, None if lines.is_utf8 else "not UTF-8")


def _unique(names: Sequence[str], path: Path) -> list[str]:
    """The names of a table's columns. Raises BadTable where one appears twice: one of the two
    columns would be lost."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadTable(f"{path} has two columns {twice[0]!r}: give each its own name")
    if not names:
        raise BadTable(f"{path} has no column")
    return list(names)


# ---------------------------------------------------------------------------- Parquet


_CACHE_BYTES = 256 * 2**20


class ParquetRows:
    """Rows of a Parquet file; `fetch` keeps some row groups, since candidates of one problem are
    often a group or more apart."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _sound(path):
            self._file = pq.ParquetFile(path)
        self.schema: pa.Schema = self._file.schema_arrow
        self._names = _unique(self._file.schema_arrow.names, path)
        metadata = self._file.metadata
        groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
        self._starts = [0]
        for group in groups:
            self._starts.append(self._starts[-1] + group.num_rows)
        per_row = sum(group.total_byte_size for group in groups) // max(1, metadata.num_rows)
        self._most_rows = max(1, BYTES // max(1, per_row))
        self._cache: OrderedDict[int, pa.Table] = OrderedDict()

    def names(self) -> list[str]:
        return self._names

    def scan(self) -> Iterator[SourceRow]:
        row = 0
        with _sound(self.path):
            for batch in self._file.iter_batches(min(_ROWS, self._most_rows)):
                yield from _of_batch(batch, row)
                row += batch.num_rows

    def batches(self, names: Sequence[str], num_rows: int) -> Iterator[pa.RecordBatch]:
        """Some columns in Arrow, as the file has them; at most so many rows at a time. Raises
        BadTable where text is not UTF-8, which Arrow does not check by itself."""
        with _sound(self.path):
            for batch in self._file.iter_batches(min(num_rows, self._most_rows), columns=names):
                batch.validate(full=True)
                yield batch

    def fetch(self, places: Sequence[int]) -> Iterator[SourceRow]:
        for place in places:
            group = bisect_right(self._starts, place) - 1
            row = place - self._starts[group]
            yield from _of_batch(self._group(group).slice(row, 1).to_batches()[0], place)

    def _group(self, group: int) -> pa.Table:
        if group not in self._cache:
            with _sound(self.path):
                self._cache[group] = self._file.read_row_group(group)
            sizes = [table.nbytes for table in self._cache.values()]
            while len(sizes) > 1 and sum(sizes) > _CACHE_BYTES:
                sizes.pop(0)
                self._cache.popitem(last=False)
        self._cache.move_to_end(group)
        return self._cache[group]


@contextmanager
def _sound(path: Path) -> Iterator[None]:
    try:
        yield
    except BadTable:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:  # also names that are not UTF-8
        why = " ".join(str(error).split())
        raise BadTable(f"{path} is no Parquet file, or is cut or damaged: {why}") from error


# ---------------------------------------------------------------------------- datasets


class DatasetRows:
    """A split of a data set of the `datasets` library: Arrow files that are mapped, not read, and
    whose values are taken as they are stored (no image or sound is decoded)."""

    def __init__(self, dataset: Any, place: str) -> None:
        self._dataset = dataset.with_format("arrow")
        self._names = _unique(list(dataset.column_names), Path(place))

    def names(self) -> list[str]:
        return self._names

    def scan(self) -> Iterator[SourceRow]:
        row = 0
        for table in self._dataset.iter(batch_size=_ROWS // 4):
            for batch in table.to_batches():
                yield from _of_batch(batch, row)
                row += batch.num_rows

    def fetch(self, places: Sequence[int]) -> Iterator[SourceRow]:
        for place in places:
            yield from _of_batch(self._dataset[place].to_batches()[0], place)


# ---------------------------------------------------------------------------- values of Arrow


def _of_batch(batch: pa.RecordBatch, row: int) -> Iterator[SourceRow]:
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


def _of_values(item: int, values: Mapping[str, Any]) -> SourceRow:
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
    clean, num_replaced = without_surrogates(decoded)
    return SourceRow(item, item, decoded, {} if fault else clean, fault, num_replaced)
