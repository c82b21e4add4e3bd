"""Where the numbers of a report come from, as its tables say it."""

from __future__ import annotations

import pytest

from flows.report.bundle import gather
from flows.workspace import Opened
from tests.flows.report.test_bundle import queried

Tables = dict[str, list[list[str]]]


@pytest.fixture(scope="module")
def numbers(built: Opened) -> Tables:
    return gather(built).numbers


def column(table: list[list[str]], name: str) -> list[str]:
    at = table[0].index(name)
    return [row[at] for row in table[1:]]


def test_models_are_those_that_scored(built: Opened, numbers: Tables) -> None:
    models = numbers["models"]
    kept = queried(built, "SELECT weights, scorer FROM scorers ORDER BY scorer")
    found = sorted(zip(column(models, "digest"), column(models, "weights"), strict=True))
    assert found == [(scorer[:12], weights[:12]) for weights, scorer in kept]
    assert set(column(models, "role")) == {
        "teacher",
        "student",
        "distilled: random",
        "distilled: teacher_count",
    }


def test_each_stage_has_its_parts_rows_and_seconds_once(built: Opened, numbers: Tables) -> None:
    kept = queried(
        built,
        """SELECT "table", count(*), sum(num_rows), sum(seconds) FROM
        (SELECT DISTINCT "table", part, num_rows, seconds FROM parts) GROUP BY ALL""",
    )
    expected = {t: [f"{n:,}", f"{rows:,}", f"{s:.1f}"] for t, n, rows, s in kept}
    assert {row[0]: row[1:4] for row in numbers["stages"][1:]} == expected
    sql = "SELECT sum(num_tokens) FROM (SELECT DISTINCT trace_id, num_tokens FROM traces)"
    columns = (column(numbers["stages"], name) for name in ("stage", "tokens"))
    tokens = dict(zip(*columns, strict=True))
    assert tokens["traces"] == f"{queried(built, sql)[0][0]:,}"
    assert tokens["grades"] == "-"


def test_what_is_not_known_is_said(numbers: Tables) -> None:
    lines = column(numbers["what is not known"], "what")
    assert any("another fine-tuning seed" in line for line in lines)
    assert any("was not measured for every model" in line for line in lines)
    assert not any("not finished" in line for line in lines)
    assert "noise of the scorers" not in numbers


def test_every_table_begins_with_the_names_of_its_columns(numbers: Tables) -> None:
    for table in numbers.values():
        assert len(table) > 1
        assert {len(row) for row in table} == {len(table[0])}
