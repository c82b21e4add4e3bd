"""Lines of words: numbers with their noun, lines broken between words."""

from __future__ import annotations

from rdpt_core.report.words import broken, counted


def test_one_thing_is_singular() -> None:
    assert [counted(range(n), "part") for n in (0, 1, 2)] == ["0 parts", "1 part", "2 parts"]


def test_a_line_is_broken_between_words_and_indented_further() -> None:
    assert broken("  one two three", 12) == "  one two\n    three"


def test_an_address_is_left_as_it_is() -> None:
    address = "http://localhost/" + "a" * 40
    assert broken(f"see {address} ok", 20) == f"see\n{address}\nok"
