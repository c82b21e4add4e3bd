"""Tables that a tool is given, a bounded piece at a time: any file that `opening` reads, or `-`.

`-` is standard input as JSONL. Nothing is guessed from how a value looks: a CSV cell is text until
somebody asks for a number, and a JSON value that no column type can hold (an object, a mixture of
types) stays JSON. An import counts the rows that it cannot read; a tool stops at the first, with
BadTable, which names the file and the place in it. `writing.py` writes such tables.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rdpt_core.files.columnar import ParquetRows
from rdpt_core.files.opening import open_records
from rdpt_core.files.records import BYTES, BadTable, SourceRow, Values, parsed_lines

STANDARD = "-"
ROWS = 65_536
"""Most rows in memory at a time."""

R = TypeVar("R")


class TableReader:
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


def open_table(place: str) -> TableReader:
    """A file or folder by its suffix, or `-` for JSONL on standard input.

    Raises BadTable where there is no such file, it is empty, or it is not what its suffix says.
    """
    if place == STANDARD:
        return _RowTable("standard input", parsed_lines(sys.stdin.buffer), _no_names)
    try:
        records = open_records(Path(place), empty="")
        if isinstance(records, ParquetRows):
            return _ParquetTable(place, records)
        return _RowTable(place, records.scan(), records.names)
    except OSError as error:
        raise BadTable(f"{place}: cannot be read: {error.strerror or error}") from error


def _no_names() -> list[str]:
    raise BadTable("standard input: is empty: a JSONL table has one object a line")


class _ParquetTable(TableReader):
    """Read by columns, of which a tool may need few."""

    def __init__(self, place: str, records: ParquetRows) -> None:
        super().__init__(place, records.names())
        self._records = records

    def batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        kept = [name for name in self.names if columns is None or name in columns]
        batch = None
        for batch in self._records.batches(kept, ROWS):
            yield batch
        if batch is None:
            schema = pa.schema([self._records.schema.field(name) for name in kept])
            yield pa.RecordBatch.from_pylist([], schema=schema)


class _RowTable(TableReader):
    """Any other: `find_names` is asked for the columns of a table without rows."""

    def __init__(
        self, place: str, records: Iterator[SourceRow], find_names: Callable[[], list[str]]
    ) -> None:
        self._pieces = _pieces(_sound(place, record) for record in records)
        first = next(self._pieces, [])
        names = dict.fromkeys(name for row in first for name in row)
        super().__init__(place, list(names) if first else find_names())
        self._pieces = itertools.chain([first], self._pieces)

    def rows(self) -> Iterator[Values]:
        return itertools.chain.from_iterable(self._pieces)

    def batches(self, columns: Collection[str] | None = None) -> Iterator[pa.RecordBatch]:
        names = [name for name in self.names if columns is None or name in columns]
        for rows in self._pieces:
            if columns is None:  # a column may begin late; one that has begun stays
                names = list(dict.fromkeys([*names, *(name for row in rows for name in row)]))
            yield to_batch(rows, names)


def _sound(place: str, record: SourceRow) -> tuple[int, Values]:
    """The size of a row in bytes or characters, and its values."""
    where = f"line {record.line}" if record.line else f"row {record.item + 1}"
    if record.fault is not None:
        raise BadTable(f"{place}: {where}: {record.fault}")
    if record.num_replaced:
        raise BadTable(
            f"{place}: {where}: holds a lone surrogate, which is not text: write U+FFFD in its "
            "place"
        )
    if isinstance(record.found, bytes):
        return len(record.found), record.values
    return sum(len(v) for v in record.values.values() if isinstance(v, str)), record.values


def to_batch(rows: Sequence[Values], names: Sequence[str]) -> pa.RecordBatch:
    """Rows as one batch; a missing key is NULL."""
    return pa.record_batch(
        [_column([row.get(name) for row in rows]) for name in names], list(names)
    )


def _column(values: list[Any]) -> pa.Array:
    """Column of the one type that all values have; else of JSON, which DuckDB and Parquet know."""
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


# ---------------------------------------------------------------------------- values


def numbers(
    batch: pa.RecordBatch, name: str, table: TableReader, num_before: int
) -> NDArray[np.float64]:
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
        refuse(table, num_before + row, name, value, "is not a number", error)
    nan = pc.fill_null(pc.is_nan(values), False).to_numpy(zero_copy_only=False)
    if nan.any():
        refuse(
            table, num_before + int(nan.argmax()), name, "NaN", "is not a number; leave it empty"
        )
    return cast("NDArray[np.float64]", values.to_numpy(zero_copy_only=False))


def probabilities(
    batch: pa.RecordBatch, name: str, table: TableReader, num_before: int
) -> NDArray[np.float64]:
    """`numbers` that each lie from 0 to 1."""
    p = numbers(batch, name, table, num_before)
    outside = (p < 0) | (p > 1)
    if outside.any():
        row = int(outside.argmax())
        refuse(table, num_before + row, name, p[row], "is not a probability: it must be 0 to 1")
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
    table: TableReader,
    row: int,
    name: str,
    value: object,
    rule: str,
    cause: Exception | None = None,
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
