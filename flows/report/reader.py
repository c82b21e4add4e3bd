"""Parts of a configuration as relations of DuckDB, so that columns are read and no row becomes an
object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa

from flows.configurations import Configuration
from flows.workspace import Opened
from rdpt_core.store.catalog import literal
from rdpt_core.store.record import Part
from rdpt_core.tables.columns import columns, sql_type
from tasks.plan import Plan

TRAIN = "train"
"""Side of the candidates."""


@dataclass(frozen=True)
class Use:
    """The texts of one configuration on one side."""

    configuration: Configuration
    side: str
    """`train`, or the name of a benchmark with `test:` before it."""
    shown: int
    """Index of the configuration in the report."""
    benchmark: int
    """Index of the side in the report."""


@dataclass
class StudyReader:
    """Reads the committed parts of an experiment, each checked against its hash once."""

    opened: Opened
    connection: duckdb.DuckDBPyConnection
    _sound: dict[str, str] = field(default_factory=dict)

    @property
    def plan(self) -> Plan:
        return self.opened.plan

    def parts(
        self, configuration: Configuration, table: str, side: str, role: str | None = None
    ) -> tuple[Part, ...]:
        """Those that exist, each once."""
        wanted = configuration.find(table, side, role)
        found = self.plan.state(wanted).parts if wanted else ()
        return tuple({part.key: part for part in found}.values())

    def relation(self, row: type, use: Use, role: str | None = None) -> str:
        """SQL that stands for the table of a side after FROM."""
        table: str = row.TABLE  # type: ignore[attr-defined]
        return self.files(row, self.parts(use.configuration, table, use.side, role))

    def files(self, row: type, parts: Sequence[Part], named: bool = False) -> str:
        """SQL that stands for these parts after FROM, with a column `filename` where they are to be
        `named`. Raises Damaged."""
        if parts:
            listed = ", ".join(literal(self._file(part)) for part in parts)
            return f"read_parquet([{listed}]{', filename = true' if named else ''})"
        typed = (f"NULL::{sql_type(c.type)} AS {c.name}" for c in columns(row))
        return f"(SELECT {', '.join(typed)} WHERE false)"

    def _file(self, part: Part) -> str:
        if part.key not in self._sound:
            self._sound[part.key] = str(self.plan.store.sound_file(part).resolve())
        return self._sound[part.key]

    def query(self, sql: str, **tables: pa.Table) -> pa.Table:
        """The rows of a query, which may name `tables`."""
        for name, table in tables.items():
            self.connection.register(name, table)
        try:
            return self.connection.sql(sql).to_arrow_table().combine_chunks()
        finally:
            for name in tables:
                self.connection.unregister(name)


@contextmanager
def reading(opened: Opened) -> Iterator[StudyReader]:
    options: dict[str, Any] = {"threads": opened.runtime.threads}
    with duckdb.connect(config=options) as connection:
        yield StudyReader(opened, connection)


def codes(column: str, names: Sequence[str], missing: int = 255) -> str:
    """SQL of the index of a column's value in `names`."""
    listed = ", ".join(literal(str(name)) for name in names)
    return f"coalesce(list_position([{listed}], {column}) - 1, {missing})"
