"""Writing tables by suffix: `.jsonl`, `.csv`, `.parquet`, or `-` for JSONL on standard output.

A file is written beside its place and renamed when it is whole, so that a reader never meets half
of one and an error leaves what was there.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import math
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rdpt_core.files.reading import STANDARD
from rdpt_core.files.records import BadTable
from rdpt_core.files.replacing import replacing


class TableWriter:
    """Takes record batches one after the other."""

    def __init__(self, file: IO[bytes], place: str) -> None:
        self._file, self._place = file, place

    def write(self, batch: pa.RecordBatch) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Ends the table; the file stays open."""

    def drop(self) -> None:
        """Ends a table that nobody wants."""


def format_of(place: str) -> str:
    """The suffix that says how a file is written; standard output is JSONL."""
    suffix = ".jsonl" if place == STANDARD else Path(place).suffix
    if suffix not in _WRITERS:
        raise BadTable(
            f"{place}: {suffix or 'no suffix'} is not a table format: give a file that ends in "
            f"{', '.join(_WRITERS)}, or - for JSONL on standard output"
        )
    return suffix


@contextlib.contextmanager
def create_table(place: str) -> Iterator[TableWriter]:
    """A writer; its table is there when the block ends, and not at all when it raises.

    Raises BadTable where the place cannot be written, BrokenPipeError where nobody reads it.
    """
    make = _WRITERS[format_of(place)]
    if place == STANDARD:
        make = _TerminalWriter if sys.stdout.isatty() else _JsonWriter
        yield make(sys.stdout.buffer, "standard output")
        return
    try:
        with replacing(Path(place)) as new, _opened(new, place) as file:
            writer = make(file, place)
            try:
                yield writer
                writer.close()
            except BaseException:
                writer.drop()
                raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            error.filename = place  # writing through a file object forgets it
        raise


def _opened(path: Path, place: str) -> IO[bytes]:
    try:
        return path.open("w+b")
    except OSError as error:
        raise BadTable(f"{place}: cannot be written: {error.strerror or error}") from error


class _JsonWriter(TableWriter):
    """NULL and NaN are null; JSON has no infinity."""

    def write(self, batch: pa.RecordBatch) -> None:
        names = [json.dumps(name, ensure_ascii=False) for name in batch.schema.names]
        columns = [self._texts(name, batch.column(name)) for name in batch.schema.names]
        for values in zip(*columns, strict=True):
            pairs = (f"{name}: {value}" for name, value in zip(names, values, strict=True))
            self._file.write(self._line(f"{{{', '.join(pairs)}}}").encode() + b"\n")

    def _line(self, text: str) -> str:
        return text

    def _texts(self, name: str, column: pa.Array) -> list[str]:
        """Each value as JSON."""
        if column.type == pa.json_():
            return [value or "null" for value in column.to_pylist()]
        encode = _encoder(column)
        try:
            return ["null" if v is None else encode(v) for v in column.to_pylist()]
        except (TypeError, ValueError) as error:
            raise BadTable(
                f"{self._place}: column {name} ({column.type}) holds what JSON cannot: {error}; "
                "write .parquet instead"
            ) from error


def _encoder(column: pa.Array) -> Callable[[Any], str]:
    """The general one takes 2 us a value, the special ones a tenth of that."""
    if pa.types.is_string(column.type):
        return json.encoder.encode_basestring
    if pa.types.is_integer(column.type):
        return str
    finite = pa.types.is_floating(column.type) and pc.all(pc.is_finite(column)).as_py() is True
    return repr if finite else _json


def _json(value: Any) -> str:
    try:
        return _ENCODER.encode(value)
    except ValueError:
        return _ENCODER.encode(_without_nan(value))


def _as_text(value: Any) -> str:
    """A date or a decimal."""
    if isinstance(value, bytes):
        raise TypeError("bytes")
    return str(value)


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_as_text)


def _without_nan(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


class _TerminalWriter(_JsonWriter):
    """No character beyond printable ASCII, so none that could act on the terminal: names too, and
    JSON that came as it is."""

    def _line(self, text: str) -> str:
        return _UNPRINTABLE.sub(_escaped, text)


_UNPRINTABLE = re.compile("[^ -~]")


def _escaped(found: re.Match[str]) -> str:
    """JSON's escape of a character: its UTF-16 units."""
    return re.sub("....", r"\\u\g<0>", found[0].encode("utf-16-be").hex())


class _CsvWriter(_JsonWriter):
    """Truth values, lists and structs as JSON text; NULL is an empty cell; bytes are refused."""

    def __init__(self, file: IO[bytes], place: str) -> None:
        super().__init__(file, place)
        self._names: list[str] = []
        self._csv = csv_writer(lambda line: file.write(line.encode()))

    def write(self, batch: pa.RecordBatch) -> None:
        if not self._names:
            self._names = batch.schema.names
            self._csv.writerow(self._names)
        if self._names != batch.schema.names:
            odd = sorted(set(self._names) ^ set(batch.schema.names))
            raise BadTable(
                f"{self._place}: not all rows have column {', '.join(odd)}, and a CSV file names "
                "its columns first: write .jsonl or .parquet instead"
            )
        self._csv.writerows(zip(*map(self._cells, batch.schema.names, batch.columns), strict=True))

    def _cells(self, name: str, column: pa.Array) -> list[Any]:
        values: list[Any] = column.to_pylist()
        kinds = set(map(type, values))
        if not pa.types.is_nested(column.type) and kinds.isdisjoint({bool, bytes}):
            return values
        return ["" if text == "null" else text for text in self._texts(name, column)]


def csv_writer(write: Callable[[str], object], delimiter: str = ",") -> Any:
    r"""A writer of the csv module whose lines end in "\n".

    That module quotes a cell for the characters of its own line end only, and a reader may take
    either of the two for the end of a line."""
    return csv.writer(_UnixLines(write), delimiter=delimiter, lineterminator="\r\n")


class _UnixLines:
    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def write(self, line: str) -> None:
        self._write(line.removesuffix("\r\n") + "\n")


class _ParquetWriter(TableWriter):
    """Where a later batch needs a wider type (NULL to anything, integer to float) or has a
    new column, what was written is written again with it."""

    def __init__(self, file: IO[bytes], place: str) -> None:
        super().__init__(file, place)
        self._schema = pa.schema([])
        self._writer: Any = None  # a ParquetWriter, once there is a schema

    def write(self, batch: pa.RecordBatch) -> None:
        if self._writer is None:
            self._begin(batch.schema)
        elif not batch.schema.equals(self._schema):
            self._widen(batch.schema)
        self._put(batch)

    def close(self) -> None:
        if self._writer is None:
            self._begin(self._schema)
        self._writer.close()

    def drop(self) -> None:
        if self._writer is not None:
            self._writer.is_open = False  # or its destructor writes a footer to the closed file

    def _begin(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(self._file, schema, compression="zstd")

    def _put(self, batch: pa.RecordBatch) -> None:
        try:
            columns = [_fitted(batch, field) for field in self._schema]
        except pa.ArrowException as error:
            raise BadTable(f"{self._place}: {error}") from error
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))

    def _widen(self, schema: pa.Schema) -> None:
        try:
            wider = pa.unify_schemas([self._schema, schema], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise BadTable(
                f"{self._place}: a column changes its type, which Parquet cannot hold ({error}): "
                "give all its values one type, or write .jsonl instead"
            ) from error
        if wider.equals(self._schema):
            return
        self._writer.close()
        with tempfile.TemporaryFile(dir=Path(self._place).parent) as kept:
            self._file.seek(0)
            shutil.copyfileobj(self._file, kept)
            self._file.seek(0)
            self._file.truncate()
            self._begin(wider)
            for batch in pq.ParquetFile(kept).iter_batches():
                self._put(batch)


def _fitted(batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
    if field.name not in batch.schema.names:
        return pa.nulls(batch.num_rows, field.type)
    column = batch.column(field.name)
    return column if column.type == field.type else column.cast(field.type)


_WRITERS = {".jsonl": _JsonWriter, ".csv": _CsvWriter, ".parquet": _ParquetWriter}
