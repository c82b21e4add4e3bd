"""The macros that compare sentences, and the views where nothing is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from rdpt_core.store import catalog, views
from rdpt_core.store.contents import Contents
from rdpt_core.store.parts import Store
from rdpt_core.tables.rows import ROWS


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with catalog.in_memory(Store(tmp_path / "store"), Contents((), (), ())) as connection:
        yield connection


@pytest.mark.parametrize("view", views.VIEWS)
def test_a_view_of_nothing_has_no_rows(empty: duckdb.DuckDBPyConnection, view: str) -> None:
    assert empty.execute(f"FROM {view}").fetchall() == []


def test_every_view_is_listed(empty: duckdb.DuckDBPyConnection) -> None:
    sql = "SELECT view_name FROM duckdb_views() WHERE NOT internal AND schema_name = 'main'"
    found = {name for (name,) in empty.execute(sql).fetchall()}
    stages = {row.TABLE for row in ROWS}
    assert found - stages - {"label_noise"} == set(views.VIEWS)


def reference(one: str, other: str) -> float:
    """Jaccard of sets of three consecutive words, by hand: words here are between blanks."""
    grams = []
    for text in (one, other):
        words = text.lower().split()
        starts = range(max(len(words) - 2, min(len(words), 1)))
        grams.append({tuple(words[at : at + 3]) for at in starts})
    both = grams[0] | grams[1]
    return len(grams[0] & grams[1]) / len(both) if both else 0.0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("she has 4 pens", "she has 4 pens"),
        ("She has 4 pens", "he has 4 pens now"),
        ("4 * 6 = 24", "4 * 6 = 25"),
        ("4 * 6 = 24", "4 + 6 = 10"),
        ("a b a b a b", "b a b"),
        ("two words", "two words"),
        ("two words", "two words more"),
        ("", ""),
        ("", "a b c"),
        ("né à Genève", "Né à Genève en mai"),
        ("數學 很 難", "數學 很 難"),
    ],
)
def test_similarity_is_the_share_of_common_trigrams(
    empty: duckdb.DuckDBPyConnection, one: str, other: str
) -> None:
    for pair in ((one, other), (other, one)):
        (found,) = empty.execute("SELECT similarity(?, ?)", pair).fetchall()[0]
        assert found == pytest.approx(reference(one, other))


def test_a_word_is_letters_and_digits_or_another_mark(empty: duckdb.DuckDBPyConnection) -> None:
    (found,) = empty.execute("SELECT words('So 4*6=24, Ünal.')").fetchall()[0]
    assert found == ["so", "4", "*", "6", "=", "24", ",", "ünal", "."]
