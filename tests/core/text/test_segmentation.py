"""No segmenter loses a byte of any text, and `maths` cuts where a reader would."""

from __future__ import annotations

import time
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdpt_core.tables.rows import FinishReason, Trace, ZoneKind
from rdpt_core.text.segmentation import SegmentRule, segment, spans
from rdpt_core.text.zones import parse_zones

Name = Literal["maths", "regex", "lines"]
NAMES: list[Name] = ["maths", "regex", "lines"]
MATHS = SegmentRule()

# Marks that mean something to a segmenter, beside any character that can be encoded at all.
MARKS = st.sampled_from(
    [
        ". ",
        "? ",
        "!",
        "\n",
        "\n\n",
        "\r\n",
        "$",
        "$$",
        "\\(",
        "\\)",
        "\\[",
        "\\]",
        "\\$",
        "\\\\",
        "`",
        "```",
        "\n```\n",
        "1. ",
        "\n2. ",
        "e.g. ",
        "3.5",
        "\x00",
        "\u2028",
        "\u00a0",
        "é",
        "😀",
        "\u0301",
        "\u202e",
        "。",
        "Then",
        "x",
        '"',
        "<think>",
        "</think>",
    ]
)
TEXTS = st.lists(MARKS | st.characters(exclude_categories=["Cs"]), max_size=60).map("".join)


def sentences(text: str, name: Name = "maths") -> list[str]:
    return [text[start:stop] for start, stop in spans(text, SegmentRule(name=name))]


def trace_of(text: str) -> Trace:
    zones = parse_zones(text, "<think>", "</think>")
    return Trace(
        "t", "p", "a", 0, text, zones, FinishReason.STOP, None, None, None, None, None, None
    )


@pytest.mark.parametrize("name", NAMES)
@given(text=TEXTS)
@settings(max_examples=100, deadline=None)
def test_t34_spans_join_to_the_text(name: Name, text: str) -> None:
    assert "".join(sentences(text, name)) == text


@pytest.mark.parametrize("name", NAMES)
@given(text=TEXTS)
@settings(max_examples=100, deadline=None)
def test_a_sentence_starts_at_a_character_that_is_not_white_space(name: Name, text: str) -> None:
    assert not any(sentence[0].isspace() for sentence in sentences(text, name)[1:])


@pytest.mark.parametrize("name", NAMES)
@given(text=TEXTS)
@settings(max_examples=100, deadline=None)
def test_rows_cover_the_bytes_in_order_and_keep_to_their_zones(name: Name, text: str) -> None:
    trace = trace_of(text)
    rows = segment(trace, SegmentRule(name=name))
    ends = [0, *(row.stop for row in rows)]
    assert [row.start for row in rows] == ends[:-1]
    assert ends[-1] == len(text.encode())
    assert [row.position for row in rows] == list(range(len(rows)))
    assert {zone.stop for zone in trace.zones} <= set(ends)
    tags = [row for row in rows if row.zone is ZoneKind.TAG]
    assert len(tags) == sum(zone.kind is ZoneKind.TAG for zone in trace.zones)


@pytest.mark.fault("F33")
@pytest.mark.parametrize("name", NAMES)
def test_white_space_alone_is_one_sentence_and_nothing_is_none(name: Name) -> None:
    assert sentences(" \n\n\t\u2028 ", name) == [" \n\n\t\u2028 "]
    assert sentences("", name) == []
    assert segment(trace_of(""), SegmentRule(name=name)) == []


@pytest.mark.parametrize("name", NAMES)
def test_white_space_belongs_to_the_sentence_before_it(name: Name) -> None:
    assert sentences("  One. \n\n  Two. \n", name)[1:] == ["Two. \n"]


@pytest.mark.parametrize(
    "whole",
    [
        "We see $x = 1. Then y$ here.",
        "We see \\(x = 1. Then y\\) here.",
        "We see \\[x = 1. \n\n Then y\\] here.",
        "We see $$x = 1. Then y$$ here.",
        "We see `x = 1. Then y` here.",
        "We see \\begin{aligned}x &= 1. \\\\[2pt] Then y\\end{aligned} here.",
        "It is 3.14 or .5 of it.",
        "See eq. 4, e.g. by Dr. Smith, w.r.t. x.",
        "1. The first of them.",
        "- **2. The second** of them",
        "Step 3. Add them",
        "Then we get\n\\[ x = 5 \\]\nand so on",
        "Hmm... so it is",
        "C(6, 2) = (6 x 5) / (2 x 1) = 15",
        "P(n >= 2) = P(n = 2) + P(n = 3)",
        "It is 1 - 2 [ (6 / 25) ] x 2",
        "The options are A) School, B) Student, or C) Book",
        "There are 5! / (2! (5 - 2)!) = 10 of them",
        "Let 1 + 2 + ... + n be S",
        "We have x1 < x2 < ... < x9 = 5",
        "The sum is 3 + ... (1)",
        "It is 0.333..., a third",
        "It equals\n\n= 5 + 3",
        "x =\n5",
        "1.\nAdd them",
        "(a)\nAdd them",
        "It ends.\n\n---\n\n",
    ],
)
def test_t34_what_maths_keeps_in_one_piece(whole: str) -> None:
    assert sentences(whole) == [whole]


@pytest.mark.parametrize(
    "parts",
    [
        ["It is 5. ", "Then we add. ", "Right? ", "Yes! ", "Good"],
        ["So $x=5.$ ", "Then more."],
        ["It costs $5. ", "She pays $6. ", "Both are prices."],
        ["It costs \\$5. ", "She pays \\$6."],
        ["One line\n", "Another line\n", "2*3 = 6"],
        ["First:\n\n", "\\[ x = 1 \\]\n\n", "Then."],
        ["Do this: 1. Add. ", "2. Multiply. ", "Done."],
        ["Solve for y. ", "Dividing gives 2."],
        ["Wait, no. ", "That is wrong."],
        ["你好。", "再见！", "行"],
        ["A dollar $ alone. ", "It opens nothing."],
        ["An open \\( bracket. ", "It opens nothing."],
        ["An open ` tick. ", "It opens nothing."],
        ["So 5! = 120. ", "Then 4! is 24. ", "Wow! ", "Next"],
        ["**It is so.** ", "Then **it is not.**\n", "Done."],
        ['She said "Stop. Now." ', "Then he left."],
        ["<b>It is so.</b> ", "Then."],
        ["Let me think... ", "So it is."],
        ["I. Introduction. ", "II. Method. ", "A. Part one. ", "B. Part two."],
        ["Find n. 1. **Understand** it. ", "2. **Solve** it."],
    ],
)
def test_where_maths_cuts(parts: list[str]) -> None:
    assert sentences("".join(parts)) == parts


def test_a_line_that_goes_on_in_lower_case_is_no_new_sentence() -> None:
    assert sentences("This line was\nwrapped by hand.") == ["This line was\nwrapped by hand."]


def test_regex_is_the_published_pattern() -> None:
    assert sentences("Is $1. 5$ so? Yes!\nNo. Dr. X", "regex") == [
        "Is $1. ",
        "5$ so? ",
        "Yes!\nNo. ",
        "Dr. ",
        "X",
    ]


def test_lines_cuts_at_line_ends_alone() -> None:
    assert sentences("One. Two.\r\n\r\nThree\u2028x", "lines") == [
        "One. Two.\r\n\r\n",
        "Three\u2028x",
    ]


DEGENERATE = [
    "\n",
    "\r\n",
    "\n ",
    " ",
    ".",
    ". ",
    "$",
    " $a",
    "$a$ ",
    "$\n",
    "$$",
    "\\",
    "\\(",
    "\\)",
    "\\[",
    "`",
    "```\n",
    "\\begin{a}",
    '"a. ',
    "“a. ",
    "[a. ",
    "a",
    "a\n",
    "a. b\n",
    "\n1. a",
    "eq. ",
    "你好。",
    "\u2028",
    "é",
    "a.b.",
    "A!B ",
    "<think>",
    "\\frac{a}{",
    "A\u00a0. ",
    "“a\n",
    "~~~\n",
    "1. ",
    "...",
    "... ",
    "5! ",
    "=\n",
    "\n= ",
    ".** ",
    "---\n",
    ". -",
    ".)",
    "</b>. ",
]


@pytest.mark.fault("F32")
@pytest.mark.parametrize("unit", DEGENERATE)
def test_time_is_linear_in_a_degenerate_text(unit: str) -> None:
    """Processor time, since others may be busy; a quadratic one would be far over this bound:
    some of these took minutes before the delimiters were paired by bisection."""
    text = unit * (200_000 // len(unit))
    start = time.process_time()
    spans(text, MATHS)
    assert time.process_time() - start < 1.5
