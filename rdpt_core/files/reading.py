"""Tables in somebody's files, a bounded piece at a time: `.jsonl`, `.csv`, `.parquet`, or `-`.

`-` is standard input as JSONL. Nothing is guessed from how a value looks: a CSV cell is text until
somebody asks for a number, and a JSON value that no column type can hold (an object, a mixture of
types) stays JSON. What cannot be read raises BadTable, which names the file and the place in it.
`table_output.py` writes the same formats.
"""

from __future__ import annotations

import csv
import itertools
import json
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

STANDARD = "-"
SUFFIXES = (".jsonl", ".csv", ".parquet")
ROWS = 65_536
"""Most rows in memory at a time."""
BYTES = 8 * 2**20
"""Most bytes of text in memory at a time, one row aside."""

Values = dict[str, Any]
R = TypeVar("R")


class BadTable(ValueError):
    """A table that cannot be read or written, with its place, the rule and the way out."""


def format_of(place: str) -> str:
    """The suffix that says how a file is written; standard input and output are JSONL."""
    suffix = ".jsonl" if place == STANDARD else Path(place).suffix
    if suffix not in SUFFIXES:
        raise BadTable(
            f"{place}: {suffix or 'no suffix'} is no table format: give a file that ends in "
            f"{', '.join(SUFFIXES)}, or - for JSONL on standard input or output"
        )
    return suffix


class Table:
    """A table that is read once, from its first row to its last."""

    def __init__(self, place: str, names: Sequence[str]) -> None:
        self.place = place
        self.names = list(names)
        """Columns, in the file's order; of JSONL, those of the first piece."""

    def require(self, *names: str) -> None:
        """Raises BadTable naming the columns that are missing and those that are there."""
        missing = [name for name in names if name not in self.names]
        if missing:
            raise BadTable(
                f"{self.place}: no column {', '.join(missing)}: needed are {', '.join(names)}; "
                f"found are {', '.join(self.names) or 'none'}"
            )

    def batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Record batches, at least one; with `columns`, of those columns alone, where they are."""
        raise NotImplementedError

    def rows(self) -> Iterator[Values]:
        """Rows as dictionaries, every value as the file has it."""
        for batch in self.batches():
            yield from batch.to_pylist()


def open_table(place: str) -> Table:
    """A file by its suffix, or `-` for JSONL on standard input.

    Raises BadTable where there is no such file, it is empty, or it is not what its suffix says.
    """
    suffix = format_of(place)
    if place == STANDARD:
        return _JsonTable("standard input", sys.stdin.buffer)
    path = Path(place)
    try:
        if path.stat().st_size == 0:
            raise BadTable(f"{place}: is empty: a table has at least the names of its columns")
        if suffix == ".parquet":
            return _ParquetTable(path)
        return _CsvTable(path) if suffix == ".csv" else _JsonTable(place, path.open("rb"))
    except OSError as error:
        raise BadTable(f"{place}: cannot be read: {error.strerror or error}") from error


def numbers(batch: pa.RecordBatch, name: str, table: Table, num_before: int) -> NDArray[np.float64]:
    """A column as float64, NaN where it is NULL or an empty CSV cell.

    `num_before` rows came before this batch. Raises BadTable naming the row, counted from 1, and
    the value where that is NaN or no number, such as a truth value.
    """
    column = batch.column(name)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.string())  # or it would be 0 and 1
    if pa.types.is_string(column.type):
        empty = pc.equal(column, "")
        column = pc.if_else(empty, pa.scalar(None, column.type), column)
    try:
        values = column.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        row, value = _first_no_number(column)
        refuse(table, num_before + row, name, value, "is no number", error)
    nan = pc.fill_null(pc.is_nan(values), False).to_numpy(zero_copy_only=False)
    if nan.any():
        refuse(table, num_before + int(nan.argmax()), name, "NaN", "is no number; leave it empty")
    return cast("NDArray[np.float64]", values.to_numpy(zero_copy_only=False))


def probabilities(
    batch: pa.RecordBatch, name: str, table: Table, num_before: int
) -> NDArray[np.float64]:
    """As `numbers`, each from 0 to 1."""
    p = numbers(batch, name, table, num_before)
    outside = (p < 0) | (p > 1)
    if outside.any():
        row = int(outside.argmax())
        refuse(table, num_before + row, name, p[row], "is no probability: it must be 0 to 1")
    return p


def values(column: pa.Array) -> list[Any]:
    """A column's values in Python; those that are JSON, parsed."""
    found: list[Any] = column.to_pylist()
    if column.type != pa.json_():
        return found
    return [None if value is None else json.loads(value) for value in found]


def with_columns(batch: pa.RecordBatch, added: Mapping[str, pa.Array]) -> pa.RecordBatch:
    """The batch with more columns behind its own; one of an equal name takes its place."""
    columns = {**dict(zip(batch.schema.names, batch.columns, strict=True)), **added}
    return pa.record_batch(list(columns.values()), list(columns))


def refuse(
    table: Table, row: int, name: str, value: object, rule: str, cause: Exception | None = None
) -> NoReturn:
    """Raises BadTable for one value; `row` counts from 0, the message from 1."""
    shown = str(value) if len(str(value)) <= 60 else f"{str(value)[:57]}..."
    raise BadTable(f"{table.place}: row {row + 1}: {name} {shown} {rule}") from cause


def _first_no_number(column: pa.Array) -> tuple[int, Any]:
    for row, value in enumerate(values(column)):
        if isinstance(value, bool):
            return row, json.dumps(value)
        if isinstance(value, str) and column.type == pa.json_():  # it stands in quotes
            return row, value
        try:
            float(value or 0)
        except (TypeError, ValueError):
            return row, value
    return 0, column[0]


# ---------------------------------------------------------------------------- JSONL


class _JsonTable(Table):
    def __init__(self, place: str, file: IO[bytes]) -> None:
        self._pieces = _pieces(_json_rows(place, file))
        first = next(self._pieces, None)
        if first is None:
            raise BadTable(f"{place}: is empty: a JSONL table has one object a line")
        super().__init__(place, list(dict.fromkeys(name for row in first for name in row)))
        self._pieces = itertools.chain([first], self._pieces)

    def rows(self) -> Iterator[Values]:
        return itertools.chain.from_iterable(self._pieces)

    def batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        names = [name for name in self.names if columns is None or name in columns]
        for rows in self._pieces:
            if columns is None:  # a column may begin late; one that has begun stays
                names = list(dict.fromkeys([*names, *(name for row in rows for name in row)]))
            yield to_batch(rows, names)


def to_batch(rows: Sequence[Values], names: Sequence[str]) -> pa.RecordBatch:
    """Rows as one batch; a missing key is NULL."""
    return pa.record_batch(
        [_column([row.get(name) for row in rows]) for name in names], list(names)
    )


def _column(values: list[Any]) -> pa.Array:
    """Of the one type that all values have; else of JSON, which DuckDB and Parquet know too."""
    kinds = set(map(type, values)) - {type(None)}
    if len(kinds) <= 1 or kinds == {int, float}:
        try:
            array = pa.array(values)
            if "struct" not in str(array.type):
                return array
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            pass
    texts = [None if v is None else json.dumps(v, ensure_ascii=False) for v in values]
    return pa.ExtensionArray.from_storage(pa.json_(), pa.array(texts, pa.string()))


def _pieces(rows: Iterable[tuple[int, R]]) -> Iterator[list[R]]:
    """Rows, given with their sizes in bytes, a bounded list at a time."""
    piece: list[R] = []
    size = 0
    for num_bytes, row in rows:
        if piece and (len(piece) == ROWS or size + num_bytes > BYTES):
            yield piece
            piece, size = [], 0
        piece.append(row)
        size += num_bytes
    if piece:
        yield piece


def _json_rows(place: str, file: IO[bytes]) -> Iterator[tuple[int, Values]]:
    with file:
        for number, line in enumerate(file, start=1):
            raw = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if raw.strip():
                yield len(raw), _json_row(f"{place}: line {number}", raw)


def _json_row(where: str, raw: bytes) -> Values:
    try:
        values = json.loads(raw.decode())
        if rb"\u" in raw:
            json.dumps(values, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise BadTable(f"{where}: is not UTF-8 at byte {error.start}") from error
    except UnicodeEncodeError as error:
        raise BadTable(
            f"{where}: holds a lone surrogate ({error.object[error.start]!a}), which is no text: "
            "write U+FFFD in its place"
        ) from error
    except json.JSONDecodeError as error:
        raise BadTable(f"{where}: is not JSON: {error.msg} at character {error.pos}") from error
    except (ValueError, RecursionError) as error:
        raise BadTable(f"{where}: is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise BadTable(f"{where}: is a JSON {type(values).__name__}, not an object")
    return values


# ---------------------------------------------------------------------------- CSV


class _CsvTable(Table):
    """Comma-separated UTF-8 with a line of names, with or without a BOM; cells are text."""

    def __init__(self, path: Path) -> None:
        self._rows = _csv_rows(str(path), path.open(encoding="utf-8-sig", newline=""))
        _, names = next(self._rows, (0, []))
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise BadTable(f"{path}: column {', '.join(twice)} appears twice")
        super().__init__(str(path), names)

    def batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        kept = [i for i, name in enumerate(self.names) if columns is None or name in columns]
        names = [self.names[i] for i in kept]
        pieces = _pieces(self._rows)
        for rows in itertools.chain([next(pieces, [])], pieces):
            arrays = [pa.array([row[i] for row in rows], pa.string()) for i in kept]
            yield pa.record_batch(arrays, names)


def _csv_rows(place: str, file: IO[str]) -> Iterator[tuple[int, list[str]]]:
    """Cells with their size in characters, the names first."""
    csv.field_size_limit(2**31 - 1)  # a trace is one cell
    reader = csv.reader(file, strict=True)
    width = 0
    with file:
        try:
            for cells in reader:
                if not cells:
                    continue
                width = width or len(cells)
                if len(cells) != width:
                    raise BadTable(
                        f"{place}: line {reader.line_num}: {len(cells)} cells where the line of "
                        f"names has {width}: put a cell that holds a comma in double quotes"
                    )
                yield sum(map(len, cells)), cells
        except csv.Error as error:
            raise BadTable(f"{place}: line {reader.line_num}: is not CSV: {error}") from error
        except UnicodeDecodeError as error:
            raise BadTable(f"{place}: after line {reader.line_num}: is not UTF-8") from error


# ---------------------------------------------------------------------------- Parquet


class _ParquetTable(Table):
    def __init__(self, path: Path) -> None:
        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowException, ValueError) as error:  # also names that are not UTF-8
            raise BadTable(f"{path}: is no Parquet file, or is cut: {error}") from error
        super().__init__(str(path), self._file.schema_arrow.names)

    def batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        kept = [name for name in self.names if columns is None or name in columns]
        metadata = self._file.metadata
        groups = [metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)]
        per_row = max(1, sum(groups) // max(1, metadata.num_rows))
        size = max(1, min(ROWS, BYTES // per_row))
        try:
            for batch in self._file.iter_batches(batch_size=size, columns=kept):
                batch.validate(full=True)  # Arrow does not look whether text is UTF-8
                yield batch
            if not metadata.num_rows:
                schema = pa.schema([self._file.schema_arrow.field(name) for name in kept])
                yield pa.record_batch([pa.nulls(0, field.type) for field in schema], schema=schema)
        except (pa.ArrowException, OSError) as error:
            raise BadTable(f"{self.place}: is damaged or cut: {error}") from error
