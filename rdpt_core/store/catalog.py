"""The catalogue: `rdpt.duckdb`, views over the parts of the store, for anyone with DuckDB.

It holds nothing that the store cannot rebuild. It is written to a temporary file and renamed, so a
reader never blocks a run nor a run a reader. One schema covers everything (`main`), with `part`
first in every table; each configuration has a schema with the parts that it uses. The views find
the store next to the opened file, so a workspace may be moved (STORE_FOLDER).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, fields
from pathlib import Path

import duckdb
import pyarrow as pa

from rdpt_core.files.replacing import replacing
from rdpt_core.store import views
from rdpt_core.store.contents import ConfigurationRow, Contents, PartUse
from rdpt_core.store.parts import Store
from rdpt_core.store.record import Part
from rdpt_core.tables import columns, ids
from rdpt_core.tables.rows import ROWS, Result

_USED = pa.schema(
    [
        *((field.name, pa.string()) for field in fields(PartUse) if field.name != "coordinate"),
        ("coordinate", pa.list_(pa.int64())),
        ("n", pa.int64()),
    ]
)
_FOUND = pa.schema(
    [
        ("table", pa.string()),
        ("part", pa.string()),
        ("num_rows", pa.int64()),
        ("seconds", pa.float64()),
        ("made", pa.string()),
    ]
)

TABLES = """
CREATE TABLE noise(scorer VARCHAR, against VARCHAR, p99_logprob DOUBLE, p95_p DOUBLE,
    p99_p DOUBLE, flips DOUBLE, num_traces BIGINT, PRIMARY KEY (scorer, against));
CREATE TABLE configurations(configuration VARCHAR PRIMARY KEY, name VARCHAR, experiment VARCHAR,
    teacher VARCHAR, student VARCHAR, distilled VARCHAR, selector VARCHAR, seed BIGINT);
CREATE TABLE scorers(scorer VARCHAR PRIMARY KEY, model VARCHAR, revision VARCHAR, weights VARCHAR,
    tokenizer VARCHAR, contract VARCHAR, dtype VARCHAR, path VARCHAR, quantisation VARCHAR,
    backend VARCHAR);
CREATE TABLE parts(configuration VARCHAR, side VARCHAR, benchmark VARCHAR, "table" VARCHAR,
    part VARCHAR, role VARCHAR, scorer VARCHAR, num_rows BIGINT, seconds DOUBLE,
    made VARCHAR, coordinate BIGINT[]);
CREATE VIEW label_noise AS
    WITH made AS (
        SELECT DISTINCT labels.part, scores.scorer FROM main.parts AS labels
        JOIN main.parts AS scores USING (configuration, side)
        WHERE labels."table" = 'provenance' AND scores."table" = 'scores'
          AND labels.benchmark IS NOT DISTINCT FROM scores.benchmark),
    floors AS (SELECT scorer, max(p99_p) AS p99_p FROM main.noise GROUP BY scorer)
    SELECT part, CASE WHEN count(*) = count(p99_p) THEN max(p99_p) END AS p99_p
    FROM made LEFT JOIN floors USING (scorer) GROUP BY part;
"""
"""Tables of the catalogue besides those of the stages. `label_noise` is, for each part of
`provenance`, the largest noise of the scorers behind its labels, or NULL if one of them was not
measured."""
STORE_FOLDER = """CREATE MACRO store_folder() AS coalesce(
    getvariable('rdpt_workspace') || {inside},
    CASE WHEN parse_filename(current_setting('temp_directory')) = {name} || '.tmp'
         THEN parse_dirpath(current_setting('temp_directory')) || {inside} END,
    {absolute})"""
"""The folder in which the views find the parts. A relative path in a view resolves against the
reader's working directory, and an absolute one breaks when the workspace moves. But DuckDB names
its folder for temporary files after the opened file, so a setting reveals that file's folder. If
the catalogue is attached to another database, or the setting was changed, the views use the path
where the catalogue was written; `SET VARIABLE rdpt_workspace = '/new/place'` sets another
folder. A store outside the workspace stays where it is when that moves: there the macro is its
path."""
UNDETERMINED = """margin < 2 * (SELECT p99_p FROM main.label_noise AS noise
    WHERE noise.part = parse_filename(filename, true)) AS undetermined"""
"""Column of `provenance` in views: true if the label may change when the models score again. A gap
changes by at most twice as much as a probability."""


NAMES = """(SELECT experiment FROM main.configurations AS owner
        WHERE owner.configuration = found.configuration) AS experiment,
    (SELECT name FROM main.configurations AS owner
        WHERE owner.configuration = found.configuration) AS name"""
"""Columns of `results` in views: whose they are, in words."""


def publish(
    path: Path, store: Store, contents: Contents, known: Mapping[str, Part] | None = None
) -> None:
    """Writes a new catalogue and replaces the old one atomically. `known` are parts by key whose
    records were read already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if store.remote:
        used_parts(store, contents)
    committed = {row.TABLE: dict(_committed(store, row.TABLE, known or {})) for row in ROWS}
    with new_database(path) as connection:
        connection.execute("CREATE TABLE catalogue(store VARCHAR)")
        connection.execute("INSERT INTO catalogue VALUES (?)", [str(store.root.resolve())])
        connection.execute(_store_folder(path, store))
        _fill(connection, contents, committed)
        add_schemas(connection, contents.configurations, [row.TABLE for row in ROWS])


@contextmanager
def in_memory(store: Store, contents: Contents) -> Iterator[duckdb.DuckDBPyConnection]:
    """The catalogue's schema `main` over the parts of these contents alone, for one question."""
    with duckdb.connect() as connection:
        folder = literal(str(store.root.resolve()))
        connection.execute(f"CREATE MACRO store_folder() AS {folder}")
        _fill(connection, contents, used_parts(store, contents))
        yield connection


def used_parts(store: Store, contents: Contents) -> dict[str, dict[str, Part]]:
    """The parts that these contents use, by table and key."""
    found: dict[str, dict[str, Part]] = {row.TABLE: {} for row in ROWS}
    for table, key in dict.fromkeys((use.table, use.part) for use in contents.uses):
        if part := store.find(table, key):
            store.file(part)  # the views read files, so those of a remote store are fetched
            found[table][key] = part
    return found


def _fill(
    connection: duckdb.DuckDBPyConnection,
    contents: Contents,
    committed: Mapping[str, Mapping[str, Part]],
) -> None:
    """Creates everything of schema `main` that does not depend on where the file lies."""
    connection.execute(TABLES)
    insert(connection, contents, committed)
    for row in ROWS:
        connection.execute(_view(row, committed[row.TABLE]))
    connection.execute(views.CREATE)


def _committed(store: Store, table: str, known: Mapping[str, Part]) -> Iterator[tuple[str, Part]]:
    """Every part of a table by its key; of a remote store, those whose files are here."""
    for key in store.keys(table):
        part = known.get(key)
        if part is None and (record := store.record(table, key)):
            part = record.part
        if part is not None and (part.table, part.key) == (table, key) and store.is_here(part):
            yield key, part


@contextmanager
def new_database(path: Path, storage: str = "latest") -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to an empty database that takes the place of `path` when the block ends."""
    with replacing(path, durable=False) as new:
        try:
            with duckdb.connect(
                str(new), config={"storage_compatibility_version": storage}
            ) as connection:
                yield connection
        finally:
            new.with_name(f"{new.name}.wal").unlink(missing_ok=True)


def is_current(path: Path, store: Store) -> bool:
    """True if a catalogue exists, opens, and was written at the store's present path."""
    if not path.exists():
        return False
    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            connection.execute("SELECT coordinate FROM parts LIMIT 0")  # an earlier one has none
            connection.execute("DESCRIBE lineage")
            connection.execute("SELECT store_folder()")
            found = connection.execute("SELECT store FROM catalogue").fetchone()
    except duckdb.Error:
        return False
    return found is not None and found[0] == str(store.root.resolve())


def insert(
    connection: duckdb.DuckDBPyConnection,
    contents: Contents,
    committed: Mapping[str, Mapping[str, Part]],
) -> None:
    """Fills TABLES. `committed` maps table to key to record; uses of other parts, or by
    configurations outside the contents, are left out."""
    known = {c.configuration for c in contents.configurations}
    for table in ("configurations", "scorers", "noise"):
        for row in getattr(contents, table):
            values = list(astuple(row))
            marks = ", ".join("?" * len(values))
            connection.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", values)
    _insert_parts(connection, [u for u in contents.uses if u.configuration in known], committed)


def _insert_parts(
    connection: duckdb.DuckDBPyConnection,
    uses: Sequence[PartUse],
    committed: Mapping[str, Mapping[str, Part]],
) -> None:
    """Fills `parts` from Arrow: a study has some hundred thousand uses, and one by one each takes a
    millisecond."""
    found = [part for parts in committed.values() for part in parts.values()]
    used = {field.name: [getattr(use, field.name) for use in uses] for field in fields(PartUse)}
    connection.register("used", pa.table({**used, "n": range(len(uses))}, _USED))
    connection.register(
        "found",
        pa.table(
            {
                "table": [part.table for part in found],
                "part": [part.key for part in found],
                "num_rows": [part.num_rows for part in found],
                "seconds": [part.seconds for part in found],
                "made": [part.made for part in found],
            },
            _FOUND,
        ),
    )
    connection.execute(
        'INSERT INTO parts BY NAME SELECT * EXCLUDE (n) FROM used JOIN found USING ("table", part) '
        "ORDER BY n"
    )
    connection.unregister("used")
    connection.unregister("found")


def _store_folder(path: Path, store: Store) -> str:
    """SQL for the store's folder; `path` is that of the catalogue."""
    absolute = str(store.root.resolve())
    if not store.root.absolute().is_relative_to(path.parent.absolute()):
        return f"CREATE MACRO store_folder() AS {literal(absolute)}"
    inside = "/" + os.path.relpath(store.root.absolute(), path.parent.absolute())
    return STORE_FOLDER.format(
        inside=literal(inside), name=literal(path.name), absolute=literal(absolute)
    )


def _view(row: type, keys: Iterable[str]) -> str:
    """A view over the files of one table."""
    table: str = row.TABLE  # type: ignore[attr-defined]
    names = ", ".join(quoted(column.name) for column in columns.columns(row))
    typed = ", ".join(
        f"NULL::{columns.sql_type(c.type)} AS {quoted(c.name)}" for c in columns.columns(row)
    )
    rows = f"SELECT NULL::VARCHAR AS filename, {typed} WHERE false"
    if listed := " ".join(keys):  # one text: DuckDB takes ten times as long for a list
        each = f"string_split({literal(listed)}, ' ')"
        files = f"[main.store_folder() || '/{table}/' || key || '.parquet' FOR key IN {each}]"
        options = f"filename = true, schema = {_schema(row)}"
        rows += f" UNION ALL BY NAME FROM read_parquet({files}, {options})"
    return (
        f"CREATE VIEW main.{table} AS SELECT parse_filename(filename, true) AS part, "
        f"{with_more(table, names)} FROM ({rows}) AS found"
    )


def with_more(table: str, names: str) -> str:
    """The columns of a table in the catalogue: those of its rows, and what the catalogue knows."""
    if table == Result.TABLE:
        return f"{NAMES}, {names}"
    return f"{names}, {UNDETERMINED}" if table == "provenance" else names


def _schema(row: type) -> str:
    """The columns as the view has them: else every file is opened whenever the view is named. Files
    of an earlier release may lack a column, which is then NULL."""
    named = (
        f"{literal(c.name)}: {{name: {literal(c.name)}, type: {literal(columns.sql_type(c.type))}, "
        "default_value: NULL}"
        for c in columns.columns(row)
    )
    return f"MAP {{{', '.join(named)}}}"


def add_schemas(
    connection: duckdb.DuckDBPyConnection,
    configurations: Sequence[ConfigurationRow],
    tables: Iterable[str],
) -> None:
    """Creates a schema for each configuration, with views of its parts of these tables."""
    for name, digest in _schemas(configurations).items():
        connection.execute(f"CREATE SCHEMA {quoted(name)}")
        for table in tables:
            connection.execute(_configuration_view(name, digest, table))


def _schemas(configurations: Sequence[ConfigurationRow]) -> dict[str, str]:
    """Schema name to configuration digest; the name combines experiment and configuration."""
    names: dict[str, str] = {}
    for c in configurations:
        name = re.sub(r"\W+", "_", f"{c.experiment}_{c.name}").lower()
        if names.get(name, c.configuration) != c.configuration or name in ("main", "temp"):
            name = f"{name}_{ids.digest(c.configuration)[:6]}"
        names[name] = c.configuration
    return names


def _configuration_view(schema: str, configuration: str, table: str) -> str:
    return (
        f"CREATE VIEW {quoted(schema)}.{table} AS "
        f"SELECT uses.side, uses.benchmark, uses.role, rows.* FROM main.{table} AS rows "
        "JOIN (SELECT DISTINCT part, side, benchmark, role FROM main.parts "
        f"WHERE configuration = {literal(configuration)} AND \"table\" = '{table}') AS uses "
        "USING (part)"
    )


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """An SQL string literal."""
    return "'" + text.replace("'", "''") + "'"
