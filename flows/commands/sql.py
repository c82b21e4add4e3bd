"""`rdpt sql`: the catalogue in SQL, read-only.

DuckDB itself is locked down first (no file but those of the store, no network, no extension, no way
back), and only statements that read are passed on: a file of the store may be read by the views, so
`COPY ... TO` could write over it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

import duckdb

from flows.catalogue import rebuild_catalogue
from flows.commands.documents import plain, text_of
from flows.results.tables import print_table
from flows.runtime import read_runtime
from flows.workspace import NO_RUNS, frozen_names
from rdpt_core.files.writing import csv_writer
from rdpt_core.store import catalog
from rdpt_core.text.printable import printable
from settings.loading import BadSettings
from settings.runtime import Runtime
from tasks.progress import say
from tasks.stores import store_of

BATCH = 1000
"""Rows that are fetched at once."""
WIDEST = 60
"""Columns of a cell on a terminal."""
MOST_ROWS = 1000
"""Rows of a table on a terminal, all in memory: columns are as wide as their widest cell."""
HELP = "end statements with ; -- SHOW ALL TABLES; lists the tables, .quit or Ctrl-D quits"

Connection = duckdb.DuckDBPyConnection
Show = Callable[[Sequence[str], Iterator[Sequence[Any]]], None]


def sql(query: str, chosen: str | None) -> int:
    runtime = read_runtime()
    terminal = sys.stdout.isatty()
    show = FORMATS[chosen or ("table" if terminal else "csv")]
    with _opened(runtime) as connection:
        if query or not sys.stdin.isatty():
            _ask(connection, query or sys.stdin.read(), show)
        else:
            _prompt(connection, FORMATS[chosen or "table"])
    return 0


def _opened(runtime: Runtime) -> Connection:
    """Read-only, and locked: only the store's files can be read, and nothing can be changed."""
    _require_catalogue(runtime)
    connection = duckdb.connect(str(runtime.catalog), read_only=True)
    folder = runtime.store_folder
    stores = {str(folder.absolute()), str(folder.resolve())}  # it may be a link
    allowed = ", ".join(map(catalog.literal, sorted(stores)))
    for setting in (
        f"allowed_directories = [{allowed}]",  # before the next one, or the views are refused too
        "enable_external_access = false",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")
    return connection


def _require_catalogue(runtime: Runtime) -> None:
    """It is written again where it is missing or about a store that lay elsewhere."""
    if catalog.is_current(runtime.catalog, store_of(runtime)):
        return
    if not frozen_names(runtime):
        raise BadSettings(str(runtime.workspace), [NO_RUNS])
    rebuild_catalogue(runtime)
    say(f"{runtime.catalog} was missing or outdated: rebuilt from the store")


# ---------------------------------------------------------------------------- asking


def _ask(connection: Connection, query: str, show: Show) -> None:
    """Shows the answer to each statement. Raises BadSettings with what DuckDB says."""
    try:
        for statement in connection.extract_statements(query):
            _require_reading(connection, statement)
            connection.execute(statement)
            if connection.description:
                batches = iter(partial(connection.fetchmany, BATCH), [])
                names = [column[0] for column in connection.description]
                show(names, chain.from_iterable(batches))
    except duckdb.Error as error:
        raise BadSettings("sql", printable_lines(str(error))) from error


_EXPLAIN = re.compile(r"explain\s+(analyze\s+)?(\([^()]*\)\s*)?", re.IGNORECASE)


def _require_reading(connection: Connection, statement: Any) -> None:
    """What is explained must itself read: `EXPLAIN ANALYZE` runs it."""
    kind = statement.type.name
    if kind == "EXPLAIN":
        explained = _EXPLAIN.sub("", statement.query, count=1)
        for inner in connection.extract_statements(explained):
            _require_reading(connection, inner)
    elif kind != "SELECT":
        raise BadSettings(
            "sql",
            [
                f"{kind} is refused: the catalogue is read-only (SELECT, FROM, WITH, DESCRIBE, "
                "SUMMARIZE, SHOW, EXPLAIN). To work on a copy: rdpt export FILE -o copy.duckdb"
            ],
        )


def printable_lines(text: str) -> list[str]:
    return [printable(line) for line in text.splitlines()]


def _prompt(connection: Connection, show: Show) -> None:
    """Runs statements until end of file; an error does not end the prompt."""
    import readline  # noqa: F401 - gives `input` its history and editing

    say(HELP)
    kept = ""
    while (line := _line("rdpt> " if not kept else "  ... ")) not in (None, ".quit", ".exit"):
        kept = f"{kept}{line}\n"
        if line and line.rstrip().endswith(";"):
            try:
                _ask(connection, kept, show)
            except BadSettings as error:
                say(str(error))
            kept = ""


def _line(prompt: str) -> str | None:
    try:
        return input(prompt)
    except EOFError:
        return None
    except KeyboardInterrupt:  # as in other shells: the line is dropped
        sys.stderr.write("\n")
        return ""


# ---------------------------------------------------------------------------- showing


def _show_table(names: Sequence[str], rows: Iterator[Sequence[Any]]) -> None:
    lines = [tuple(map(_short, names))]
    num_rows = 0
    for num_rows, row in enumerate(rows, start=1):
        if num_rows <= MOST_ROWS:
            lines.append(tuple(_short(_text(value)) for value in row))
    print_table(lines)
    if num_rows > MOST_ROWS:
        say(f"the first {MOST_ROWS} of {num_rows} rows; --format csv prints all")


def _short(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= WIDEST else shown[: WIDEST - 3] + "..."


def _text(value: Any) -> str:
    """NULL is an empty cell, a list or struct JSON."""
    if value is None:
        return ""
    if isinstance(value, bool | list | dict):
        return json.dumps(plain(value), ensure_ascii=False)
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _show_csv(names: Sequence[str], rows: Iterator[Sequence[Any]]) -> None:
    writer = csv_writer(sys.stdout.write)
    guard = printable if sys.stdout.isatty() else str  # a pipe gets the text as it is
    writer.writerow(map(guard, names))
    for row in rows:
        writer.writerow([guard(_text(value)) for value in row])


def _show_json(names: Sequence[str], rows: Iterator[Sequence[Any]]) -> None:
    """One array of objects. JSON has no NaN and no infinity: they are null."""
    _require_names_apart(names)
    before = "["
    for row in rows:
        value = dict(zip(names, map(plain, row), strict=True))
        sys.stdout.write(f"{before}{text_of(value)}")
        before = ",\n"
    sys.stdout.write("[]\n" if before == "[" else "]\n")


def _require_names_apart(names: Sequence[str]) -> None:
    twice = sorted({printable(name) for name in names if names.count(name) > 1})
    if twice:
        raise BadSettings(
            "sql",
            [
                f"column {', '.join(twice)} appears twice, and names of a JSON object are unique: "
                "rename columns with AS"
            ],
        )


FORMATS: dict[str, Show] = {"table": _show_table, "csv": _show_csv, "json": _show_json}
