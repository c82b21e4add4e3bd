"""The catalogue: rebuilt from the store alone, swapped under open readers, safe with any name."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rdpt_core.store import catalog
from rdpt_core.store.contents import (
    ConfigurationRow,
    Contents,
    PartUse,
)
from rdpt_core.store.parts import Store
from rdpt_core.tables.recipe import Recipe
from rdpt_core.tables.rows import ROWS
from tasks.plan import Plan
from tests.stages import toy_stages


def published(root: Path, name: str = "toy", folder: Path | None = None) -> tuple[Path, Store]:
    tables = toy_stages.chain_of(toy_stages.given(range(8)))
    store = Store(folder or root / "store")
    toy_stages.build(store.root, tables)
    plan = Plan(store)
    uses = tuple(
        PartUse("c1", "train", None, part.table, part.key, None)
        for table in tables[:3]
        for part in plan.state(table).parts
    )
    row = ConfigurationRow("c1", name, "study", None, None, None, None, None)
    path = root / "rdpt.duckdb"
    catalog.publish(path, store, Contents((row,), (), uses))
    return path, store


def query(path: Path, text: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(text).fetchall()


def test_every_table_is_there_under_its_name_even_when_it_is_empty(tmp_path: Path) -> None:
    path, _ = published(tmp_path)
    for row in ROWS:
        query(path, f"SELECT * FROM main.{row.TABLE}")
        query(path, f"SELECT * FROM study_toy.{row.TABLE}")
    assert query(path, "SELECT count(*) FROM scores") == [(0,)]


def test_part_is_the_first_column_and_names_the_part_of_every_row(tmp_path: Path) -> None:
    path, store = published(tmp_path)
    parts = {part for (part,) in query(path, "SELECT DISTINCT part FROM main.traces")}
    assert parts == {record.part.key for record in store.records("traces")}
    assert query(path, "DESCRIBE main.traces")[0][0] == "part"


def test_a_configuration_sees_the_parts_that_it_uses_and_no_other(tmp_path: Path) -> None:
    path, _ = published(tmp_path)
    assert query(path, "SELECT count(*) FROM study_toy.traces") == [(16,)]
    assert query(path, "SELECT count(*) FROM study_toy.sentences") == [(0,)]
    assert query(path, "SELECT count(*) FROM main.sentences") == [(16,)]


def test_a_reader_blocks_no_run_and_keeps_what_it_opened(tmp_path: Path) -> None:
    path, store = published(tmp_path)
    with duckdb.connect(str(path), read_only=True) as reader:
        catalog.publish(path, store, Contents((), (), ()))
        assert reader.execute("SELECT count(*) FROM configurations").fetchone() == (1,)
    assert query(path, "SELECT count(*) FROM configurations") == [(0,)]


@pytest.mark.fault("F13")
def test_a_moved_or_broken_catalogue_is_noticed(tmp_path: Path) -> None:
    path, store = published(tmp_path / "old")
    assert catalog.is_current(path, store)
    (tmp_path / "old").rename(tmp_path / "new")
    moved = tmp_path / "new" / "rdpt.duckdb"
    assert not catalog.is_current(moved, Store(tmp_path / "new" / "store"))
    moved.write_bytes(b"no database")
    assert not catalog.is_current(moved, Store(tmp_path / "new" / "store"))


@pytest.mark.fault("F13")
def test_a_plain_reader_finds_the_parts_wherever_the_workspace_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moved, copied, opened by a relative path from another folder, under a name with a quote."""
    old, new, elsewhere = tmp_path / "old", tmp_path / "it's new", tmp_path / "else" / "where"
    path, _ = published(old)
    old.rename(new)
    elsewhere.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    for place in (new / path.name, Path("../..") / new.name / path.name):
        assert query(place, "SELECT count(*) FROM study_toy.traces") == [(16,)]
    shutil.copytree(new, tmp_path / "copy")
    shutil.rmtree(new)
    assert query(tmp_path / "copy" / path.name, "SELECT count(*) FROM traces") == [(16,)]
    assert not catalog.is_current(tmp_path / "copy" / path.name, Store(tmp_path / "copy" / "store"))


def test_a_store_outside_the_workspace_is_found_from_wherever_the_workspace_moves(
    tmp_path: Path,
) -> None:
    old, new, shared = tmp_path / "old", tmp_path / "deep" / "new", tmp_path / "shared"
    path, store = published(old, folder=shared)
    new.parent.mkdir()
    old.rename(new)
    assert query(new / path.name, "SELECT count(*) FROM study_toy.traces") == [(16,)]
    assert catalog.is_current(new / path.name, store)


def test_a_catalogue_that_is_attached_looks_where_it_was_written_or_is_told(
    tmp_path: Path,
) -> None:
    path, _ = published(tmp_path / "old")
    attach, count = f"ATTACH '{path}' AS old (READ_ONLY)", "SELECT count(*) FROM old.main.traces"
    with duckdb.connect(str(tmp_path / "own.duckdb")) as connection:
        connection.execute(attach)
        assert connection.execute(count).fetchall() == [(16,)]
    (tmp_path / "old").rename(tmp_path / "new")
    with duckdb.connect() as connection:
        connection.execute(attach.replace("old/", "new/"))
        with pytest.raises(duckdb.IOException, match="No files found"):
            connection.execute(count)
        connection.execute(f"SET VARIABLE rdpt_workspace = '{tmp_path / 'new'}'")
        assert connection.execute(count).fetchall() == [(16,)]


def test_a_reader_with_a_place_of_its_own_for_temporary_files_reads_too(tmp_path: Path) -> None:
    path, _ = published(tmp_path)
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute(f"SET temp_directory = '{tmp_path / 'scratch'}'")
        assert connection.execute("SELECT count(*) FROM traces").fetchall() == [(16,)]


@pytest.mark.fault("F30", "X3")
@pytest.mark.parametrize("name", ['a"; DROP TABLE parts; --', "x'y", "\u202egnp.exe", "main", ""])
def test_a_hostile_name_round_trips_and_changes_no_table(tmp_path: Path, name: str) -> None:
    path, _ = published(tmp_path, name)
    assert query(path, "SELECT name FROM configurations") == [(name,)]
    assert len(query(path, "FROM duckdb_tables()")) == 5


@pytest.mark.fault("X3")
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
@settings(deadline=None)
@example('a"; DROP TABLE parts; --')
@example("x' OR 'a' = 'a")
def test_x3_any_text_is_one_name_and_one_value(text: str) -> None:
    """DuckDB's identifiers end at a NUL; names of an experiment hold none."""
    with duckdb.connect() as connection:
        connection.execute(f"SELECT {catalog.literal(text)} AS {catalog.quoted(text)}")
        assert connection.fetchall() == [(text,)]
        assert [column[0] for column in connection.description or ()] == [text]


@pytest.mark.fault("F38")
def test_a_part_of_an_earlier_release_lacks_a_column_and_is_still_read(tmp_path: Path) -> None:
    @dataclass(frozen=True, slots=True)
    class EarlierStep:
        TABLE: ClassVar[str] = "students"
        KEY: ClassVar[tuple[str, ...]] = ("student", "step")
        student: str
        step: int

    store = Store(tmp_path / "store")
    recipe = Recipe("students", 0, {}, {})
    store.commit(EarlierStep, recipe, [EarlierStep("s", 1)], inputs={}, seconds=0.0)
    path = tmp_path / "rdpt.duckdb"
    catalog.publish(path, store, Contents((), (), ()))
    found = query(path, "SELECT part, student, step, loss FROM students")
    assert found == [(recipe.key, "s", 1, None)]
