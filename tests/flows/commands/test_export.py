"""`rdpt export`: copies that other tools read, equal to what the catalogue shows."""

from __future__ import annotations

import json
import os
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

from flows import cli
from flows.workspace import Opened
from rdpt_core.store.parts import Store
from rdpt_core.tables.rows import ROWS, Problem, Trace
from tests.flows.recorded_requests import files, refused

TABLES = {row.TABLE for row in ROWS}
CATALOGUE = {"configurations", "scorers", "parts", "noise"}


def export(*arguments: str) -> Path:
    """The file after `-o`."""
    assert cli.main(["export", "study", *arguments]) == 0
    return Path(arguments[arguments.index("-o") + 1])


def catalogue(opened: Opened) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(str(opened.runtime.catalog), read_only=True)


# ---------------------------------------------------------------------------- one table


@pytest.mark.parametrize("table", sorted(TABLES))
def test_a_table_has_the_rows_of_the_catalogue(study: Opened, tmp_path: Path, table: str) -> None:
    out = export(table, "-o", str(tmp_path / "all.parquet"))
    with catalogue(study) as sql:
        shown = sql.sql(f"FROM main.{table}")
        written = sql.read_parquet(str(out))
        names = [name for name in shown.columns if name != "undetermined"]
        assert written.columns == names
        assert written.except_(shown.project(", ".join(f'"{n}"' for n in names))).fetchall() == []
        assert written.aggregate("count(*)").fetchall() == shown.aggregate("count(*)").fetchall()


def test_a_configuration_has_the_rows_of_its_schema(study: Opened, tmp_path: Path) -> None:
    chosen = ("provenance", "--configuration", "random")
    out = export(*chosen, "-o", str(tmp_path / "one.parquet"))
    with catalogue(study) as sql:
        shown = sql.sql("SELECT * EXCLUDE undetermined FROM study_random.provenance")
        written = sql.read_parquet(str(out))
        assert written.columns == shown.columns
        assert sorted(written.fetchall(), key=str) == sorted(shown.fetchall(), key=str)


def test_jsonl_csv_and_standard_output_hold_the_same(
    study: Opened, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jsonl = export("grades", "-o", str(tmp_path / "grades.jsonl"))
    csv = export("grades", "-o", str(tmp_path / "grades.csv"))
    rows = [json.loads(line) for line in jsonl.read_text().splitlines()]
    with duckdb.connect() as sql:
        read = sql.sql(f"SELECT trace_id, outcome FROM read_csv('{csv}', all_varchar = true)")
        assert read.fetchall() == [(row["trace_id"], row["outcome"]) for row in rows]
    capsys.readouterr()
    assert cli.main(["export", "study", "grades", "-o", "-"]) == 0
    assert capsys.readouterr().out == jsonl.read_text()


def test_the_tables_of_the_catalogue_are_exported_too(study: Opened, tmp_path: Path) -> None:
    out = export("configurations", "-o", str(tmp_path / "configurations.jsonl"))
    names = {json.loads(line)["name"] for line in out.read_text().splitlines()}
    assert names == {"teacher", "student", "teacher_count", "random"}


# ---------------------------------------------------------------------------- the whole


def test_a_database_is_the_catalogue_with_real_tables(study: Opened, tmp_path: Path) -> None:
    out = export("-o", str(tmp_path / "study.duckdb"), "--tokens")
    with duckdb.connect(str(out), read_only=True) as sql:
        sql.execute(f"ATTACH '{study.runtime.catalog}' AS old (READ_ONLY)")
        for schema in ("main", "study_random", "study_teacher"):
            for table in sorted(TABLES):
                both = [f"FROM {name}.{schema}.{table}" for name in ("study", "old")]
                for one, other in (both, both[::-1]):
                    assert sql.sql(f"({one}) EXCEPT ALL ({other})").fetchall() == [], (schema, one)


def test_a_database_needs_no_other_file(study: Opened, tmp_path: Path) -> None:
    out = export("-o", str(tmp_path / "study.duckdb"))
    with duckdb.connect(str(out), read_only=True) as sql:
        views = "".join(text for (text,) in sql.sql("SELECT sql FROM duckdb_views()").fetchall())
        assert "read_parquet" not in views
        databases = sql.sql("SELECT tags FROM duckdb_databases() WHERE path IS NOT NULL")
        ((tags,),) = databases.fetchall()
        assert tags["storage_version"].startswith("v1.4.0")


def test_what_has_a_number_for_each_token_is_left_out_unless_asked_for(
    study: Opened, tmp_path: Path
) -> None:
    for flags, more in (((), set()), (("--tokens",), {"scores"})):
        out = export("-o", str(tmp_path / "study.duckdb"), *flags)
        with duckdb.connect(str(out), read_only=True) as sql:
            tables = sql.sql("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main'")
            found = {name for (name,) in tables.fetchall()}
            columns = set(sql.sql("FROM traces").columns)
        assert found == (TABLES - {"scores"}) | CATALOGUE | more
        assert ("logprobs" in columns) == bool(more)


BAD = {
    "grades VALUES ('p', 't', 'maybe', NULL)": "CHECK",
    "grades VALUES ('p', NULL, 'wrong', NULL)": "NOT NULL",
    "provenance VALUES ('p', 't', 0, 'teacher', NULL, 0.1, 1.5, 0.1, NULL, NULL, NULL)": "CHECK",
    "provenance VALUES ('p', 't', -1, NULL, NULL, NULL, NULL, NULL, NULL, 'e', NULL)": "CHECK",
    "sentence_scores VALUES ('p', 't', 0, 's', 0.5, 1, 1, NULL, NULL, NULL)": "CHECK",
    "sentence_scores VALUES ('p', 't', 0, 's', 'NaN', 1, 1, NULL, NULL, NULL)": "CHECK",
    "results VALUES ('p', 'e', 'n', 'c', 'test', 'b', 'm', 0.5, 0.6, 0.4, 1, NULL)": "CHECK",
    "pool SELECT * FROM pool LIMIT 1": "Duplicate key",
}


def test_keys_and_checks_are_declared(study: Opened, tmp_path: Path) -> None:
    out = export("-o", str(tmp_path / "study.duckdb"))
    with duckdb.connect(str(out)) as sql:
        for rows, rule in BAD.items():
            with pytest.raises(duckdb.ConstraintException, match=rule):
                sql.execute(f"INSERT INTO {rows}")
        sql.execute(
            "INSERT INTO provenance VALUES "
            "('p', 't', 0, NULL, NULL, NULL, NULL, NULL, NULL, 'error', NULL)"
        )


# ---------------------------------------------------------------------------- the selection


def test_messages_hold_what_the_student_is_taught(study: Opened, tmp_path: Path) -> None:
    """The assistant's text is the decoded completion of the training example, end of turn aside."""
    out = export("--selection", "--configuration", "random", "-o", str(tmp_path / "train.jsonl"))
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    picks = pq.read_table(
        export("selection", "--configuration", "random", "-o", str(tmp_path / "picks.parquet"))
    ).to_pylist()
    ranked = sorted(picks, key=lambda pick: (pick["rank"], pick["trace_id"]))
    assert [row["trace_id"] for row in rows] == [pick["trace_id"] for pick in ranked]
    traces, problems = stored(study.store)
    from rdpt_core.models.rendering.render import read_renderer

    folder = study.base / "student"
    renderer = read_renderer(study.experiment.students[0].spec, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for row in rows:
        trace = traces[row["trace_id"]]
        problem = problems[row["problem_id"]]
        example = renderer.example(problem, trace)
        learned = [i for i, m in zip(example.input_ids, example.completion_mask, strict=True) if m]
        user, assistant = row["messages"]
        assert user == {"role": "user", "content": problem.prompt}
        assert assistant["role"] == "assistant"
        text = str(tokenizer.decode(learned, clean_up_tokenization_spaces=False))
        assert text.removesuffix(tokenizer.eos_token or "") == assistant["content"]


def stored(store: Store) -> tuple[dict[str, Trace], dict[str, Problem]]:
    traces = [t for record in store.records("traces") for t in store.rows(Trace, record.part)]
    asked = [p for record in store.records("problems") for p in store.rows(Problem, record.part)]
    return {t.trace_id: t for t in traces}, {p.problem_id: p for p in asked}


# ---------------------------------------------------------------------------- mistakes


MISTAKES = {
    ("provenence", "-o", "x.csv"): "did you mean provenance?",
    ("traces", "-o", "x.txt"): ".txt is not a table format",
    ("traces",): "-o is missing: name a .parquet",
    ("-o", "x.csv"): "the table for x.csv is missing",
    ("traces", "-o", "x.duckdb"): "holds the whole experiment",
    ("traces", "-o", "x.csv", "--tokens"): "--tokens",
    ("traces", "--selection", "-o", "x.jsonl"): "--selection and a table exclude each other",
    ("--selection", "-o", "x.csv"): "name a .jsonl file",
    ("--selection", "-o", "x.jsonl"): "random, teacher_count",
    ("--selection", "--configuration", "teacher", "-o", "x.jsonl"): "has no table selection",
    ("traces", "--configuration", "randon", "-o", "x.csv"): "did you mean random?",
    ("traces", "-o", "no/such/x.csv"): "cannot be written",
    ("-o", "no/such/x.duckdb"): "there is no folder",
}


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize("arguments", MISTAKES)
def test_a_mistake_exits_2_and_writes_nothing(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert MISTAKES[arguments] in refused(capsys, "export", "study", *arguments)


@pytest.mark.parametrize("out", ["kept.jsonl", "kept.duckdb"])
def test_a_damaged_part_leaves_the_old_export_as_it_was(
    study: Opened, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(out).write_text("old")
    record = next(study.store.records("grades"))
    path = study.store.file(record.part)
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:40] + b"\0" + whole[41:])
        os.utime(path, ns=(record.mtime_ns, record.mtime_ns))  # as a disk changes bits
        table = [] if out.endswith("duckdb") else ["grades"]
        before = files()
        assert cli.main(["export", "study", *table, "-o", out]) == 1
        assert Path(out).read_text() == "old"
        assert files() == before
        assert record.part.key[:12] in capsys.readouterr().err
    finally:
        path.write_bytes(whole)


def test_less_than_the_whole_is_said(
    study: Opened, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = next(study.store.records("grades"))
    path, beside = study.store.file(record.part), study.store.root / "beside"
    path.rename(beside)
    try:
        export("grades", "-o", str(tmp_path / "grades.csv"))
        assert "tables are complete; only existing parts are written" in capsys.readouterr().err
    finally:
        beside.rename(path)
