"""docs/reliability.md lists the faults and their tests as they are marked now."""

from __future__ import annotations

import textwrap
from pathlib import Path

from tests import reliability
from tests.reliability import Result


def test_the_page_is_that_of_the_marks_and_of_the_last_results() -> None:
    expected = reliability.page(reliability.read_results())
    assert reliability.PAGE.read_text() == expected, "run: python -m tests.reliability"


def test_every_mark_names_a_fault() -> None:
    named = {name for ids in reliability.marked().values() for name in ids}
    assert named - set(reliability.faults()) == set()


def test_every_fault_has_a_test_or_the_reason_why_not() -> None:
    named = {name for ids in reliability.marked().values() for name in ids}
    assert [
        name for name, fault in reliability.faults().items() if not (name in named or fault.open)
    ] == []


def test_a_fault_is_in_the_list_once_and_in_order() -> None:
    names = list(reliability.faults())
    assert names == [f"F{i:02}" for i in range(1, 43)] + [f"X{i}" for i in range(1, 13)]


def test_cases_of_a_test_are_one_result(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        textwrap.dedent(
            """\
            <testsuites><testsuite timestamp="2026-11-30T01:02:03+00:00">
            <testcase classname="tests.a.test_b" name="test_c[1]" time="1.25">
            <properties><property name="figure" value="1 of 4 batches"/></properties></testcase>
            <testcase classname="tests.a.test_b" name="test_c[2]" time="0.5"><skipped/></testcase>
            <testcase classname="tests.a.test_b" name="test_c[3]" time="2"><failure/></testcase>
            </testsuite></testsuites>"""
        )
    )
    assert reliability.results_of(report) == {
        "tests/a/test_b.py::test_c": Result("2026-11-30", 1, 1, 1, 3.25, ("1 of 4 batches",))
    }
