"""Rows to columns and back: Arrow schemas, SQL types and content digests, rendered from `rows.py`.

The one distinction drawn here: a *content digest* is over the rows' values in primary-key order,
in one canonical encoding, so that neither the file layout nor a library version can change it; the
layout of the same rows in a Parquet file matters only for space.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import struct
import types
import typing
from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

R = TypeVar("R")

_SCALARS: dict[type, pa.DataType] = {
    str: pa.string(),
    bytes: pa.binary(),
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
}
_SQL = {
    pa.string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.bool_(): "BOOLEAN",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.uint8(): "UTINYINT",
    pa.uint32(): "UINTEGER",
    pa.int32(): "INTEGER",
    pa.float16(): "FLOAT",
    pa.float32(): "FLOAT",
}
"""DuckDB's names. Written down, since DuckDB 2.0 takes them from Arrow for all types but float16,
which it knows in Parquet alone."""


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: pa.DataType
    optional: bool
    python: Any
    """The bare Python type: str, a StrEnum, a dataclass, or numpy.ndarray."""


def columns(row: type) -> tuple[Column, ...]:
    """The columns of a row class, in the order of its fields."""
    return _columns(row)


@cache
def _columns(row: type) -> tuple[Column, ...]:
    hints = typing.get_type_hints(row, include_extras=True)
    return tuple(_column(field.name, hints[field.name]) for field in dataclasses.fields(row))


def _column(name: str, hint: Any) -> Column:
    optional = False
    if get_origin(hint) in (types.UnionType, typing.Union):
        (hint,) = (part for part in get_args(hint) if part is not types.NoneType)
        optional = True
    if get_origin(hint) is Annotated:
        return Column(name, get_args(hint)[1], optional, np.ndarray)
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        inner = pa.struct([pa.field(c.name, c.type, nullable=False) for c in columns(item)])
        return Column(name, pa.list_(inner), optional, item)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return Column(name, pa.string(), optional, hint)
    return Column(name, _SCALARS[hint], optional, hint)


def schema(row: type) -> pa.Schema:
    return pa.schema([pa.field(c.name, c.type, nullable=c.optional) for c in columns(row)])


def sql_type(kind: pa.DataType) -> str:
    """DuckDB's name of an Arrow type."""
    if pa.types.is_list(kind):
        return f"{sql_type(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        return f"STRUCT({', '.join(f'{field.name} {sql_type(field.type)}' for field in kind)})"
    return _SQL[kind]


# ---------------------------------------------------------------------------- rows <-> Arrow


def to_arrow(row: type, rows: Sequence[Any]) -> pa.Table:
    """Rows as one Arrow table; NaN inside an array becomes NULL."""
    arrays = [_array(column, [getattr(r, column.name) for r in rows]) for column in columns(row)]
    return pa.Table.from_arrays(arrays, schema=schema(row))


def _array(column: Column, values: list[Any]) -> pa.Array:
    if column.python is np.ndarray:
        return _list_array(column, values)
    if pa.types.is_list(column.type):
        values = [None if v is None else [dataclasses.asdict(item) for item in v] for v in values]
    return pa.array(values, type=column.type)


def _list_array(column: Column, values: list[Any]) -> pa.Array:
    """One concatenation, so that ten million tokens create no Python objects."""
    dtype = column.type.value_type.to_pandas_dtype()
    present = [np.asarray(v, dtype) for v in values if v is not None]
    flat = np.concatenate(present) if present else np.empty(0, dtype)
    lengths = np.array([0 if v is None else len(v) for v in values], np.int64)
    ends = np.cumsum(lengths, dtype=np.int64)
    if len(flat) >= 2**31:
        raise ValueError(f"a part holds {len(flat)} values of {column.name}: use a smaller part")
    offsets = np.concatenate([np.zeros(1, np.int64), ends]).astype(np.int32)
    missing = [v is None for v in values]
    mask = pa.array(missing) if any(missing) else None
    items = pa.array(flat, type=column.type.value_type, from_pandas=True)
    return pa.ListArray.from_arrays(pa.array(offsets), items, type=column.type, mask=mask)


def from_arrow(row: type[R], table: pa.Table) -> list[R]:
    """The rows of an Arrow table; NULL inside an array of floats becomes NaN."""
    if table.schema.names != [c.name for c in columns(row)]:
        raise ValueError(f"columns {table.schema.names} are not those of {row.__name__}")
    read = [_values(c, table.column(c.name).combine_chunks()) for c in columns(row)]
    return [row(*values) for values in zip(*read, strict=True)]


def _values(column: Column, array: pa.Array) -> list[Any]:
    if column.python is np.ndarray:
        return _list_values(column, array)
    values: list[Any] = array.to_pylist()
    if pa.types.is_list(column.type):
        struct, fields = column.python, columns(column.python)
        return [
            v if v is None else tuple(struct(*(f.python(i[f.name]) for f in fields)) for i in v)
            for v in values
        ]
    if issubclass(column.python, StrEnum):
        return [v if v is None else column.python(v) for v in values]
    return values


def _list_values(column: Column, array: pa.Array) -> list[Any]:
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else array.type.wrap_array([])
    flat = array.values.to_numpy(zero_copy_only=False)
    flat = np.asarray(flat, column.type.value_type.to_pandas_dtype())
    offsets = array.offsets.to_numpy()
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    return [flat[offsets[i] : offsets[i + 1]] if valid[i] else None for i in range(len(array))]


# ---------------------------------------------------------------------------- identity


def in_key_order(row: type, rows: Iterable[R]) -> list[R]:
    """Rows sorted by primary key. Raises ValueError, naming the key, if it is a duplicate."""
    names: tuple[str, ...] = row.KEY  # type: ignore[attr-defined]
    keyed = sorted(((tuple(getattr(r, n) for n in names), r) for r in rows), key=lambda kr: kr[0])
    for (first, _), (second, _) in pairwise(keyed):
        if first == second:
            raise ValueError(f"{row.__name__} {dict(zip(names, first, strict=True))} appears twice")
    return [r for _, r in keyed]


def content_digest(row: type, rows: Iterable[object], extra: str = "") -> str:
    """32 hex digits over rows in primary-key order (and `extra`, the digest of a payload).

    blake2b, since the values of a key may come from an untrusted file.
    """
    state = hashlib.blake2b(digest_size=16)
    state.update(",".join(c.name for c in columns(row)).encode() + b"\n")
    for item in rows:
        for column in columns(row):
            value = getattr(item, column.name)
            if column.python is np.ndarray and value is not None:
                value = np.asarray(value, column.type.value_type.to_pandas_dtype())
            state.update(_encode(value))
    state.update(_encode(extra))
    return state.hexdigest()


def _encode(value: object) -> bytes:
    """A self-delimiting encoding: type letter, length, value."""
    if value is None:
        return b"N"
    if isinstance(value, str):
        return _sized(b"S", value.encode())
    if isinstance(value, bool):
        return b"T" if value else b"F"
    if isinstance(value, int):
        return b"I" + value.to_bytes(16, "little", signed=True)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"a column holds {value}: a missing number is None")
        return b"D" + struct.pack("<d", value)
    if isinstance(value, bytes):
        return _sized(b"B", value)
    if isinstance(value, np.ndarray):
        return _sized(b"A" + value.dtype.str.encode(), _canonical(value).tobytes())
    if isinstance(value, tuple):
        return _sized(b"L", b"".join(map(_encode, value)))
    assert dataclasses.is_dataclass(value), type(value)
    return b"".join(_encode(getattr(value, f.name)) for f in dataclasses.fields(value))


def _sized(letter: bytes, body: bytes) -> bytes:
    return letter + len(body).to_bytes(8, "little") + body


def _canonical(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Every NaN as one bit pattern."""
    if array.dtype.kind != "f" or not np.isnan(array).any():
        return array
    return np.where(np.isnan(array), np.array(np.nan, array.dtype), array)


# ---------------------------------------------------------------------------- Parquet


SMALL = 1_000_000
"""Bytes of a file that one thread reads."""


def write_parquet(row: type, rows: Sequence[Any], path: Path) -> None:
    """zstd; float32 arrays split by byte (DuckDB 2.0 cannot read split float16)."""
    split = [f"{c.name}.list.element" for c in columns(row) if c.type == pa.list_(pa.float32())]
    text = [c.name for c in columns(row) if c.type == pa.string() and c.name != "text"]
    pq.write_table(
        to_arrow(row, rows),
        path,
        compression="zstd",
        use_dictionary=text,
        column_encoding=dict.fromkeys(split, "BYTE_STREAM_SPLIT") or None,
    )


def read_parquet(row: type[R], path: Path) -> list[R]:
    file = pq.ParquetFile(path)
    if file.schema_arrow.equals(schema(row)):  # a quarter of the time of a data set, which fills in
        # Below a megabyte, handing columns to threads takes longer than decoding them.
        return from_arrow(row, file.read(use_threads=path.stat().st_size > SMALL))
    return from_arrow(row, pq.read_table(path, schema=schema(row)))
