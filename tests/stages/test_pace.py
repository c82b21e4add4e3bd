"""Time left, by the seconds of parts of this run and of earlier ones."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from rdpt_core.store.parts import Store
from rdpt_core.store.record import Part
from tasks.pace import Left, Pace, span
from tasks.plan import Plan
from tasks.stage import SourceTable, Table
from tests.stages import toy_stages


def chain(num: int) -> list[Table]:
    return list(toy_stages.chain_of(toy_stages.given(range(num)), samples=1))


def pace_of(folder: Path, tables: list[Table], workers: int = 1) -> tuple[Pace, Plan]:
    plan = Plan(Store(folder), peek=True)
    return Pace(plan, tables, workers), plan


def part_of(folder: Path, tables: list[Table], seconds: float) -> Part:
    """A part of four traces, as this run would have built it."""
    toy_stages.build(folder, tables[:2])
    part = Plan(Store(folder)).state(tables[1]).parts[0]
    return dataclasses.replace(part, seconds=seconds)


def test_before_anything_was_built_no_time_is_known(tmp_path: Path) -> None:
    tables = chain(8)
    toy_stages.build(tmp_path, tables[:1])
    pace, _ = pace_of(tmp_path, tables)
    assert pace.left() == Left(0.0, is_all=False)
    assert str(pace.left()) == "~"
    assert pace.left().time == ""


def test_a_part_of_this_run_gives_the_rate_of_its_table(tmp_path: Path) -> None:
    part = part_of(tmp_path / "other", chain(4), seconds=20.0)
    tables = chain(8)[:2]
    toy_stages.build(tmp_path, tables[:1])
    pace, plan = pace_of(tmp_path, tables)
    pace.built(tables[1], part)  # 20 s for 4 traces, and 8 are left
    assert pace.left() == Left(40.0, is_all=True)
    assert pace.left({tables[1].digest: 6.0}).seconds == pytest.approx(10.0)
    assert pace_of(tmp_path, tables, workers=2)[0].left() == Left(0.0, is_all=False)
    assert plan.state(tables[1]).missing


def test_records_of_earlier_parts_give_the_rate_of_a_table_that_is_not_begun(
    tmp_path: Path,
) -> None:
    toy_stages.build(tmp_path, chain(4))
    more = chain(8)
    toy_stages.build(tmp_path, more[:1])
    pace, _ = pace_of(tmp_path, more)
    earlier = [r.part.seconds for r in Store(tmp_path).records("traces")]
    left = pace.of(more[1])  # type: ignore[arg-type]
    assert left.is_all
    assert left.seconds == pytest.approx(sum(earlier) / 4 * 4)


def test_a_part_that_waits_for_its_inputs_counts_with_the_rows_that_they_will_have(
    tmp_path: Path,
) -> None:
    tables = chain(8)
    toy_stages.build(tmp_path, tables[:1])
    pace, plan = pace_of(tmp_path, tables)
    grades: Any = next(table for table in tables if table.name == "grades")
    assert plan.state(grades).is_blocked
    assert pace._left_to_build(grades) == 8


def test_sources_and_complete_tables_take_no_time(tmp_path: Path) -> None:
    tables = chain(4)
    assert isinstance(tables[0], SourceTable)
    toy_stages.build(tmp_path, tables)
    assert pace_of(tmp_path, tables)[0].left() == Left(0.0, is_all=True)


@pytest.mark.parametrize(
    ("left", "shown"),
    [
        (Left(0.2, True), "< 1 s left"),
        (Left(40.4, True), "~40 s left"),
        (Left(200.0, True), "~3 min left"),
        (Left(200.0, False), "> 3 min left"),
        (Left(7500.0, True), "~2 h 05 min left"),
        (Left(0.2, False), "~"),
    ],
)
def test_a_time_has_no_digit_that_it_does_not_know(left: Left, shown: str) -> None:
    assert str(left) == shown


def test_spans() -> None:
    assert [span(s) for s in (1, 89, 91, 5400)] == ["1 s", "89 s", "2 min", "1 h 30 min"]
