"""Tables in a terminal: what does not fit stands below, each block readable by itself."""

from __future__ import annotations

from rdpt_core.report.tables import aligned

LINES = [("name", "accuracy", "95%", "tokens"), ("random", "0.5", "[0.4, 0.6]", "1,234")]


def test_a_wide_table_becomes_blocks_that_begin_with_the_first_column() -> None:
    assert aligned(LINES, 30).plain == (
        "name    accuracy  95%\nrandom  0.5       [0.4, 0.6]\n\nname    tokens\nrandom  1,234"
    )


def test_an_interval_stays_next_to_its_value() -> None:
    first, second = aligned(LINES, 18).plain.split("\n\n")
    assert "accuracy  95%" in first
    assert "tokens" in second


def test_a_file_has_every_row_on_one_line() -> None:
    assert aligned(LINES).plain.splitlines() == [
        "name    accuracy  95%         tokens",
        "random  0.5       [0.4, 0.6]  1,234",
    ]


def test_a_heading_over_several_lines_widens_no_column() -> None:
    shown = aligned([("", "points"), ("a long name of two arms", ""), ("  tokens", "+1")])
    assert shown.plain.splitlines() == [
        "          points",
        "a long name of two arms",
        "  tokens  +1",
    ]


def test_one_column_alone_is_shown() -> None:
    assert aligned([("n",), ("12",)], 1).plain == "n\n12"


def test_columns_of_chinese_text_stand_below_each_other() -> None:
    shown = aligned([("name", "n"), ("数学", "12"), ("ab", "3")])
    assert shown.plain.splitlines() == ["name  n", "数学  12", "ab    3"]


def test_cells_are_text_and_never_markup() -> None:
    assert aligned([("a", "b"), ("[red]x", "[/]")]).plain.splitlines()[1] == "[red]x  [/]"


def test_a_style_belongs_to_cells_that_are_equal_to_its_name() -> None:
    shown = aligned([("name", "state"), ("cached twice", "cached")], styles={"cached": "green"})
    assert [shown.plain[s.start : s.end] for s in shown.spans if s.style == "green"] == ["cached"]
