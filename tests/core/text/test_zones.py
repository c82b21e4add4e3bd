"""Zones cover a text without gap or overlap, and a tag takes the white space beside it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdpt_core.text.zones import answer_text, parse_zones

PIECES = st.lists(st.sampled_from(["<think>", "</think>", "<a>", "</a>", "x", "é😀", " ", "\n\n"]))


def laid(text: str, *, tags: str = "think", opened: bool = False) -> list[tuple[str, str]]:
    """Each zone's kind and text."""
    data = text.encode()
    zones = parse_zones(text, f"<{tags}>", f"</{tags}>", opened, "<a>", "</a>")
    return [(zone.kind.value, data[zone.start : zone.stop].decode()) for zone in zones]


def test_a_thought_and_an_answer() -> None:
    assert laid("<think>\nSo é.\n</think>\n\n18") == [
        ("tag", "<think>\n"),
        ("thought", "So é."),
        ("tag", "\n</think>\n\n"),
        ("answer", "18"),
    ]


def test_a_text_without_tags_is_one_answer() -> None:
    assert laid(" It is 18. ") == [("answer", " It is 18. ")]


@pytest.mark.fault("F33")
def test_an_empty_text_has_no_zones() -> None:
    assert laid("") == []


@pytest.mark.fault("F33")
def test_an_unclosed_thought_runs_to_the_end() -> None:
    assert laid("<think>So\n") == [("tag", "<think>"), ("thought", "So\n")]
    assert laid("So\n", opened=True) == [("thought", "So\n")]


@pytest.mark.parametrize("opened", [True, False])
def test_a_thought_that_the_prompt_opened_needs_no_tag(opened: bool) -> None:
    assert laid("So.</think> 18", opened=opened) == [
        ("thought", "So."),
        ("tag", "</think> "),
        ("answer", "18"),
    ]


def test_an_author_that_opens_again_what_the_prompt_opened() -> None:
    assert laid("<think>So.</think>18", opened=True)[:2] == [("tag", "<think>"), ("thought", "So.")]


def test_an_empty_thought_leaves_the_white_space_to_the_first_tag() -> None:
    assert laid("<think>\n\n</think>18") == [
        ("tag", "<think>\n\n"),
        ("tag", "</think>"),
        ("answer", "18"),
    ]


def test_later_tags_are_text() -> None:
    assert laid("<think>a</think>b</think><think>c")[-1] == ("answer", "b</think><think>c")


def test_all_four_tags_of_a_thought_and_a_solution() -> None:
    assert laid("<think>\nSo.\n</think>\n\n<a>\n18\n</a>\n") == [
        ("tag", "<think>\n"),
        ("thought", "So."),
        ("tag", "\n</think>\n\n"),
        ("tag", "<a>\n"),
        ("answer", "18"),
        ("tag", "\n</a>\n"),
    ]


def test_a_solution_ends_a_thought_that_nothing_closed() -> None:
    assert laid("<think>So. <a>18") == [
        ("tag", "<think>"),
        ("thought", "So."),
        ("tag", " <a>"),
        ("answer", "18"),
    ]


@given(PIECES, st.booleans())
@settings(deadline=None)
def test_zones_cover_any_text(pieces: list[str], opened: bool) -> None:
    text = "".join(pieces)
    assert "".join(part for _, part in laid(text, opened=opened)) == text


def test_the_answer_is_what_stands_outside_the_thought() -> None:
    thought_only = "<think>18"
    both = "<think>17</think>18"
    assert answer_text(thought_only, parse_zones(thought_only, "<think>", "</think>")) is None
    assert answer_text(both, parse_zones(both, "<think>", "</think>")) == "18"
