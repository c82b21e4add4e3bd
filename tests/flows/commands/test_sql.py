"""`rdpt sql`: the catalogue, read-only."""

from __future__ import annotations

import csv
import io
import json

import duckdb
import pytest

from flows import cli
from flows.commands import sql
from flows.runtime import read_runtime
from tests.flows.example_experiments import Studio
from tests.flows.recorded_requests import output_of

Capture = pytest.CaptureFixture[str]


def test_sql_gives_csv_to_a_pipe_and_what_is_asked_for(here: Studio, capsys: Capture) -> None:
    query = "SELECT name, selector FROM configurations WHERE selector IS NOT NULL"
    assert output_of(capsys, "sql", query) == "name,selector\nteacher_count,teacher_count\n"
    assert json.loads(output_of(capsys, "sql", query, "--format", "json")) == [
        {"name": "teacher_count", "selector": "teacher_count"}
    ]
    shown = output_of(capsys, "sql", query, "--format", "table").splitlines()
    assert [line.split() for line in shown] == [["name", "selector"], ["teacher_count"] * 2]


def test_sql_reads_the_parts_and_keeps_what_is_missing(here: Studio, capsys: Capture) -> None:
    rows = list(
        csv.DictReader(io.StringIO(output_of(capsys, "sql", "SELECT trace_id FROM traces")))
    )
    assert len(rows) == 16 + 4 * 3
    query = "SELECT NULL AS a, 'nan'::DOUBLE AS b, [1, NULL] AS c, ''AS d"
    assert output_of(capsys, "sql", query) == 'a,b,c,d\n,nan,"[1, null]",\n'
    assert json.loads(output_of(capsys, "sql", query, "--format", "json")) == [
        {"a": None, "b": None, "c": [1, None], "d": ""}
    ]


def test_sql_gives_csv_whose_cells_may_hold_either_line_end(here: Studio, capsys: Capture) -> None:
    query = "SELECT 'a' || chr(13) || 'b' AS x, 'c' || chr(10) || 'd' AS y"
    assert output_of(capsys, "sql", query) == 'x,y\n"a\rb","c\nd"\n'


def test_sql_gives_no_json_that_loses_a_column(here: Studio, capsys: Capture) -> None:
    query = "SELECT 1 AS a, 2 AS b, 3 AS a"
    assert output_of(capsys, "sql", query) == "a,b,a\n1,2,3\n"
    capsys.readouterr()
    assert cli.main(["sql", query, "--format", "json"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "column a appears twice" in shown.err
    assert "rename columns with AS" in shown.err


@pytest.mark.fault("X3")
@pytest.mark.parametrize(
    "query",
    [
        "SELEC 1",
        "SELECT * FROM nowhere",
        "SELECT * FROM read_text('study.toml')",
        "CREATE TABLE x AS SELECT 1",
        "DELETE FROM configurations",
        "COPY (SELECT 1) TO 'out.csv'",
        "COPY (SELECT 1) TO 'workspace/store/out.csv'",
        "EXPLAIN (ANALYZE) COPY (SELECT 1) TO 'workspace/store/out.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'workspace/store/out.csv'",
        "SELECT 1; DROP TABLE configurations",
        "ATTACH 'other.duckdb'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "PRAGMA database_list",
    ],
)
def test_sql_reads_and_does_nothing_else(here: Studio, capsys: Capture, query: str) -> None:
    before = sorted(here.folder.rglob("*"))
    capsys.readouterr()
    assert cli.main(["sql", query]) == 2
    assert capsys.readouterr().err.startswith("rdpt: sql:\n  ")
    assert sorted(here.folder.rglob("*")) == before


@pytest.mark.fault("X3")
@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ("FROM read_text('study.toml')", "disabled by configuration"),
        ("COPY (SELECT 1) TO 'out.csv'", "disabled by configuration"),
        ("CREATE TABLE x AS SELECT 1", "read-only mode"),
        ("DROP VIEW traces", "read-only mode"),
        ("SET allowed_directories = ['/']", "configuration has been locked"),
        ("SET threads = 1", "configuration has been locked"),
    ],
)
def test_x3_the_connection_holds_by_itself(here: Studio, query: str, refusal: str) -> None:
    """Whatever gets past the check of a statement's kind."""
    with sql._opened(read_runtime()) as connection:
        with pytest.raises(duckdb.Error, match=refusal):
            connection.execute(query)
        for setting in ("autoinstall_known_extensions", "autoload_known_extensions"):
            found = connection.execute(f"SELECT current_setting('{setting}')").fetchone()
            assert found == (False,)


@pytest.mark.parametrize(
    "query",
    [
        "EXPLAIN SELECT 'analyze'",
        "EXPLAIN ANALYZE SELECT 1",
        "explain (analyze, format json) SELECT 1",
        "-- why\nEXPLAIN SELECT 1",
        "DESCRIBE configurations",
        "SUMMARIZE configurations",
        "WITH x AS (SELECT 1) SELECT * FROM x",
    ],
)
def test_sql_explains_whatever_reads(here: Studio, query: str) -> None:
    assert cli.main(["sql", query]) == 0


def test_what_a_model_wrote_cannot_act_on_a_terminal(here: Studio, capsys: Capture) -> None:
    query = "SELECT chr(27) || '[2J' || chr(8238) AS text"
    assert "\\x1b[2J\\u202e" in output_of(capsys, "sql", query, "--format", "table")


@pytest.mark.fault("F13")
def test_a_lost_catalogue_is_written_again_and_said(here: Studio, capsys: Capture) -> None:
    (here.folder / "workspace" / "rdpt.duckdb").write_text("garbage")
    capsys.readouterr()
    assert cli.main(["sql", "SELECT count(*) AS n FROM configurations"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "n\n3\n"
    assert "rebuilt from the store" in shown.err
