"""Untrusted text cannot act on a terminal, and stays readable."""

from __future__ import annotations

import pytest

from rdpt_core.text.printable import printable

HOSTILE = {
    "\x1b[2J\x1b]0;title\x07": r"\x1b[2J\x1b]0;title\x07",
    "a\rb\x00c\x9bd\x7f": r"a\x0db\x00c\x9bd\x7f",
    "\u202eevil\u2066\u200b": r"\u202eevil\u2066\u200b",
    "line\u2028para\u2029": r"line\u2028para\u2029",
    "\U000e0041": r"\U000e0041",
}


@pytest.mark.fault("X4")
@pytest.mark.parametrize("text", HOSTILE)
def test_no_character_of_a_text_acts_on_the_terminal(text: str) -> None:
    assert printable(text) == HOSTILE[text]


def test_letters_of_every_script_stay() -> None:
    assert printable("Straße Ω 数学 ∑√ 😀 é") == "Straße Ω 数学 ∑√ 😀 é"
