"""Tables for other tools: one table as a file, or a whole experiment as one DuckDB file.

An export holds copies of rows, so it works elsewhere; the catalogue (`catalog.py`) holds views of
the store, so it costs nothing. Both have the same schemas under the same names, and the hash of
each part's file is checked before it is read.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rdpt_core.files.writing import TableWriter
from rdpt_core.store import catalog, views
from rdpt_core.store.catalog import literal, quoted
from rdpt_core.store.contents import Contents
from rdpt_core.store.parts import Store
from rdpt_core.store.record import Part
from rdpt_core.tables import columns
from rdpt_core.tables.columns import Column
from rdpt_core.tables.rows import ROWS, Result, TokenScores

STORAGE = "v1.4.0"
"""The oldest DuckDB that must read an export; DuckDB 2.0 writes a newer format by default."""
MOST_KEYED = 10_000_000
"""Rows of a table up to which its primary key is declared: DuckDB builds the index of a key in
memory, and the keys of a part are unique by construction."""
SIGNED = ("seed",)
"""Integers that may be negative."""

Names = Mapping[str, tuple[str | None, str | None]]
"""Configuration to the names of its experiment and itself."""
Before = Mapping[str, str | None]
"""Column to its value in all rows of a part: `part`, and the use of the part."""


# ---------------------------------------------------------------------------- one table


def write_rows(
    writer: TableWriter,
    row: type,
    store: Store,
    parts: Iterable[tuple[Part, Before]],
    before: Sequence[str],
    names: Names,
    text: bool = False,
) -> int:
    """Writes the rows of parts, after the columns `before`; returns their number. Raises Damaged.

    A table without rows still has its columns. With `text`, bytes become text, with bytes that are
    not UTF-8 as `\\xff`: JSON and CSV hold no bytes.
    """
    nothing = _named(row, _no_rows(columns.schema(row)), names)
    writer.write(_placed(nothing, dict.fromkeys(before), text))
    num_rows = 0
    for part, values in parts:
        for batch in pq.ParquetFile(store.sound_file(part)).iter_batches():
            writer.write(_placed(_named(row, batch, names), values, text))
            num_rows += batch.num_rows
    return num_rows


def _named(row: type, batch: pa.RecordBatch, names: Names) -> pa.RecordBatch:
    """Results with the names of experiment and configuration, as the catalogue has them."""
    if row is not Result:
        return batch
    owners = [names.get(key, (None, None)) for key in batch.column("configuration").to_pylist()]
    added = [pa.array([owner[i] for owner in owners], pa.string()) for i in range(2)]
    return pa.record_batch([*added, *batch.columns], ["experiment", "name", *batch.schema.names])


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=schema)


def _placed(batch: pa.RecordBatch, before: Before, text: bool) -> pa.RecordBatch:
    first = [pa.array([value] * batch.num_rows, pa.string()) for value in before.values()]
    rest = [
        _as_text(column) if text and pa.types.is_binary(column.type) else column
        for column in batch.columns
    ]
    return pa.record_batch([*first, *rest], [*before, *batch.schema.names])


def _as_text(column: pa.Array) -> pa.Array:
    raw = column.to_pylist()
    return pa.array(
        [None if r is None else r.decode(errors="backslashreplace") for r in raw], pa.string()
    )


def write_catalogue_rows(writer: TableWriter, table: str, contents: Contents, store: Store) -> int:
    """Writes a table of the catalogue, such as configurations; returns the number of rows."""
    with duckdb.connect() as connection:
        connection.execute(catalog.TABLES)
        catalog.insert(connection, contents, catalog.used_parts(store, contents))
        found = connection.sql(f"FROM {quoted(table)} ORDER BY ALL").to_arrow_table()
    for batch in [_no_rows(found.schema), *found.to_batches()]:
        writer.write(batch)
    return int(found.num_rows)


# ---------------------------------------------------------------------------- the whole


def write_database(path: Path, store: Store, contents: Contents, tokens: bool) -> dict[str, int]:
    """Writes an experiment to one self-contained file; returns rows by table.

    `main` and the schemas of the configurations are those of the catalogue, with real tables in
    `main`: keys, NOT NULL, closed choices and ranges are declared. Per-token data (`scores`, arrays
    of `traces`) is included only with `tokens`. The file is written next to `path` and renamed.
    Raises Damaged, or OSError if it cannot be written.
    """
    committed = catalog.used_parts(store, contents)
    rows = [row for row in ROWS if tokens or row is not TokenScores]
    try:
        with catalog.new_database(path, STORAGE) as connection:
            connection.execute(catalog.TABLES)
            catalog.insert(connection, contents, committed)
            counts = {
                row.TABLE: _copy(connection, row, store, committed[row.TABLE].values(), tokens)
                for row in rows
            }
            connection.execute(views.CREATE)
            catalog.add_schemas(connection, contents.configurations, counts)
    except duckdb.IOException as error:
        full = "No space left" in str(error)
        raise OSError(errno.ENOSPC if full else errno.EIO, str(error), str(path)) from error
    return counts


def _copy(
    connection: duckdb.DuckDBPyConnection,
    row: type,
    store: Store,
    parts: Iterable[Part],
    tokens: bool,
) -> int:
    found = list(parts)
    kept = [c for c in columns.columns(row) if tokens or c.python is not np.ndarray]
    num_rows = sum(part.num_rows for part in found)
    connection.execute(table_of(row, kept, keyed=num_rows <= MOST_KEYED))
    if found:
        files = ", ".join(literal(str(store.sound_file(part).resolve())) for part in found)
        names = ", ".join(quoted(column.name) for column in kept)
        chosen = catalog.with_more(row.TABLE, names)  # type: ignore[attr-defined]
        connection.execute(
            f"INSERT INTO {_table(row)} SELECT parse_filename(filename, true), {chosen} "
            f"FROM read_parquet([{files}], filename = true) AS found"
        )
    return num_rows


def table_of(row: type, kept: Sequence[Column], keyed: bool) -> str:
    """The DDL of a table of `main`, `part` first, with every constraint of its columns that SQL can
    express."""
    lines = ["part VARCHAR NOT NULL"]
    if row is Result:
        lines += ["experiment VARCHAR", "name VARCHAR"]
    lines += [line for column in kept for line in _column(column)]
    if _has_undetermined(row):
        lines.append("undetermined BOOLEAN")
    if row is Result:
        lines.append("CHECK (low <= high)")
    if keyed:
        key: tuple[str, ...] = row.KEY  # type: ignore[attr-defined]
        lines.append(f"PRIMARY KEY ({', '.join(quoted(name) for name in ('part', *key))})")
    return f"CREATE TABLE {_table(row)}({', '.join(lines)})"


def _table(row: type) -> str:
    return f"main.{row.TABLE}"  # type: ignore[attr-defined]


def _has_undetermined(row: type) -> bool:
    return bool(row.TABLE == "provenance")  # type: ignore[attr-defined]


def _column(column: Column) -> Iterator[str]:
    """The line of a column, and a line for each constraint; NULL passes every constraint."""
    null = "" if column.optional else " NOT NULL"
    yield f"{quoted(column.name)} {columns.sql_type(column.type)}{null}"
    for rule in _rules(column):
        yield f"CHECK ({rule})"


def _rules(column: Column) -> Iterator[str]:
    """Constraints from the conventions of `rows.py` for `num_`, `p_` and `logprob`."""
    name, kind = quoted(column.name), column.python
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        yield f"{name} IN ({', '.join(literal(choice) for choice in kind)})"
    elif kind is int and column.name not in SIGNED:
        yield f"{name} >= 0"
    elif kind is float:
        yield f"isfinite({name})"
        if column.name.startswith("p_"):
            yield f"{name} BETWEEN 0 AND 1"
        elif column.name.endswith("logprob"):
            yield f"{name} <= 0"
