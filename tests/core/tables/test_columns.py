"""Columns as Arrow and SQL have them."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from rdpt_core.tables import columns
from rdpt_core.tables.rows import ROWS


@pytest.mark.parametrize("row", ROWS)
def test_sql_types_are_those_that_duckdb_reads_from_a_part(tmp_path: Path, row: type) -> None:
    file = tmp_path / "part.parquet"
    columns.write_parquet(row, [], file)
    with duckdb.connect() as connection:
        found = connection.execute(f"DESCRIBE FROM read_parquet('{file}')").fetchall()
    read = {name: kind.replace('"', "") for name, kind, *_ in found}
    assert {c.name: columns.sql_type(c.type) for c in columns.columns(row)} == read
