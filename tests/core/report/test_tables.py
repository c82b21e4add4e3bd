"""Tables in a terminal: what does not fit stands below, each block readable by itself."""

from __future__ import annotations

from rdpt_core.report.tables import Ranged, Row, TableColumn, aligned, fitted

LINES = [("name", "accuracy", "95%", "tokens"), ("random", "0.5", "[0.4, 0.6]", "1,234")]


def test_a_wide_table_becomes_blocks_that_begin_with_the_first_column() -> None:
    assert aligned(LINES, 30).plain.splitlines() == [
        "name    accuracy         95%",
        "random       0.5  [0.4, 0.6]",
        "",
        "name    tokens",
        "random   1,234",
    ]


def test_an_interval_stays_next_to_its_value() -> None:
    first, second = aligned(LINES, 18).plain.split("\n\n")
    assert first.split()[:3] == ["name", "accuracy", "95%"]
    assert "tokens" in second


def test_a_file_has_every_row_on_one_line() -> None:
    assert aligned(LINES).plain.splitlines() == [
        "name    accuracy         95%  tokens",
        "random       0.5  [0.4, 0.6]   1,234",
    ]


def test_a_heading_over_several_lines_widens_no_column() -> None:
    shown = aligned([("", "points"), ("a long name of two arms", ""), ("  tokens", "+1")])
    assert shown.plain.splitlines() == [
        "          points",
        "a long name of two arms",
        "  tokens      +1",
    ]


def test_one_column_alone_is_shown() -> None:
    assert aligned([("n",), ("12",)], 1).plain == "n\n12"


def test_columns_of_chinese_text_stand_below_each_other() -> None:
    shown = aligned([("name", "n"), ("数学", "12"), ("ab", "3")])
    assert shown.plain.splitlines() == ["name   n", "数学  12", "ab     3"]


def test_cells_are_text_and_never_markup() -> None:
    assert aligned([("a", "b"), ("[red]x", "[/]")]).plain.splitlines()[1] == "[red]x  [/]"


def test_a_style_belongs_to_cells_that_are_equal_to_its_name() -> None:
    shown = aligned([("name", "state"), ("cached twice", "cached")], styles={"cached": "green"})
    assert [shown.plain[s.start : s.end] for s in shown.spans if s.style == "green"] == ["cached"]


def test_a_column_of_numbers_is_aligned_right_and_one_of_words_left() -> None:
    shown = aligned([("a", "n", "word"), ("x", "1,234", "no"), ("y", "-", "yes")])
    assert shown.plain.splitlines() == [
        "a      n  word",
        "x  1,234  no",
        "y      -  yes",
    ]


# ---------------------------------------------------------------------------- known columns

COLUMNS = (
    TableColumn("name"),
    TableColumn("accuracy"),
    TableColumn("lift over student", "lift"),
    TableColumn("truncated", rank=1),
    TableColumn("questions", rank=2),
)
ROWS = (
    Row(
        ("random *", Ranged("0.725", "[0.66, 0.78]"), Ranged("+4.1", "[+3, +5]"), "0.004", "24"),
    ),
    Row(),
    Row(("teacher", Ranged("0.875", "[0.82, 0.91]"), "-", "0.100", "24")),
)


def shown(width: int | None) -> list[str]:
    return fitted(COLUMNS, ROWS, width).plain.splitlines()


def test_a_file_and_a_wide_terminal_get_all_columns_with_intervals_beside() -> None:
    assert shown(None) == [
        "name      accuracy           95%  lift over student       95%  truncated  questions",
        "random *     0.725  [0.66, 0.78]               +4.1  [+3, +5]      0.004         24",
        "",
        "teacher      0.875  [0.82, 0.91]                  -                0.100         24",
    ]
    assert shown(83) == shown(None)


def test_the_first_step_of_a_narrow_terminal_is_short_headings() -> None:
    assert shown(70)[:2] == [
        "name      accuracy           95%  lift       95%  truncated  questions",
        "random *     0.725  [0.66, 0.78]  +4.1  [+3, +5]      0.004         24",
    ]


def test_the_second_step_is_intervals_below_their_values() -> None:
    assert shown(60) == [
        "name          accuracy      lift  truncated  questions",
        "random *         0.725      +4.1      0.004         24",
        "          [0.66, 0.78]  [+3, +5]",
        "",
        "teacher          0.875         -      0.100         24",
        "          [0.82, 0.91]",
    ]


def test_the_third_step_leaves_out_columns_by_rank_and_names_them() -> None:
    assert shown(45)[0] == "name          accuracy      lift  truncated"
    assert shown(45)[-1] == "(too wide here: questions)"
    assert shown(40)[-1] == "(too wide here: truncated, questions)"


def test_no_line_is_wider_than_the_terminal_however_narrow() -> None:
    for width in range(26, 90):
        assert max(map(len, shown(width))) <= width, width


def test_a_name_alone_is_a_heading_and_may_be_longer_than_the_column() -> None:
    rows = [Row(("a long name of two arms",)), Row(("  tokens", "+1"))]
    assert fitted([TableColumn(""), TableColumn("points")], rows, 30).plain.splitlines() == [
        "          points",
        "a long name of two arms",
        "  tokens      +1",
    ]


def test_the_style_of_a_row_reaches_all_its_cells() -> None:
    text = fitted([TableColumn("n"), TableColumn("v")], [Row(("a", "1"), "bold"), Row(("b", "2"))])
    bold = {text.plain[span.start : span.end] for span in text.spans if span.style == "bold"}
    assert bold == {"n  v", "a  1"}
