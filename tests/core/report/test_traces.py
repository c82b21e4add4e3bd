"""A trace in a terminal: each sentence with its label, readable without colour."""

from __future__ import annotations

import io

import pytest
from rich.color import Color, ColorSystem
from rich.console import Console
from rich.text import Text

from rdpt_core.report.palette import FILLS
from rdpt_core.report.traces import SentenceLine, legend, text_lines, trace_lines
from rdpt_core.tables.rows import Label, Provenance, Sentence, ZoneKind


def shown(text: str, label: Label | None, margin: float | None = 0.3) -> SentenceLine:
    sentence = Sentence("t", 0, 0, len(text.encode()), ZoneKind.ANSWER)
    return SentenceLine(
        sentence,
        text,
        Provenance("t", 0, label, None, margin, 0.91, None, 0.125, None if label else "too_long"),
    )


def lines(*sentences: SentenceLine, width: int | None = 80) -> list[Text]:
    return list(trace_lines(sentences, width))[1:]


def plain(*sentences: SentenceLine, width: int | None = 80) -> list[str]:
    return [line.plain for line in lines(*sentences, width=width)]


def painted(line: Text, colours: str) -> str:
    file = io.StringIO()
    Console(file=file, force_terminal=True, color_system=colours).print(line)  # type: ignore[arg-type]
    return file.getvalue()


@pytest.mark.parametrize(("label", "letter"), list(zip(Label, "TS==+", strict=True)))
def test_a_label_is_a_letter_beside_its_colour(label: Label, letter: str) -> None:
    (line,) = lines(shown("So it is 4.", label))
    assert line.plain == f"  1 {letter}   0.910      -  0.125 So it is 4."
    red, green, blue = (int(FILLS[label][i : i + 2], 16) for i in (1, 3, 5))
    fill = f"\x1b[38;2;26;26;26;48;2;{red};{green};{blue}mSo it is 4.\x1b[0m"
    assert fill in painted(line, "truecolor")


def test_what_is_near_a_threshold_or_has_no_score_is_marked() -> None:
    near, far, missing = plain(
        shown("a", Label.TEACHER, 0.0099), shown("b", Label.TEACHER, 0.01), shown("c", None, None)
    )
    assert (near[4:6], far[4:6], missing[4:6]) == ("T~", "T ", "? ")
    assert all(mark in legend().plain for mark in "~?|+=")


def test_a_tag_has_no_number_and_no_label() -> None:
    tag = SentenceLine(Sentence("t", 0, 0, 8, ZoneKind.TAG), "<think>\n", None)
    first, second = plain(tag, shown("Plan.", Label.STUDENT))
    assert first.split() == ["|", "<think>"]
    assert second.startswith("  1 S")


@pytest.mark.parametrize("text", ["word " * 40, "数" * 120])
def test_long_sentences_are_wrapped_under_their_beginning(text: str) -> None:
    """A Chinese letter takes two columns."""
    found = lines(shown(text, Label.TEACHER), width=70)
    assert max(line.cell_len for line in found) <= 70
    assert min(line.cell_len for line in found[:-1]) > 70 - len("word ")
    assert all(line.plain.startswith(" " * 28 + text[:1]) for line in found[1:])


def test_a_pipe_gets_a_sentence_on_one_line() -> None:
    assert len(lines(shown("word " * 400, Label.TEACHER), width=None)) == 1


@pytest.mark.parametrize("width", [80, None])
def test_markup_and_escapes_of_a_trace_are_shown_literally(width: int | None) -> None:
    (line,) = plain(shown("[red]a[/red] \x1b[31m", Label.TEACHER), width=width)
    assert line.endswith(r"[red]a[/red] \x1b[31m")


def test_256_colours_tell_the_labels_apart() -> None:
    labels = (Label.TEACHER, Label.STUDENT, Label.SHARED, Label.BOOSTED)
    fills = [Color.parse(FILLS[label]).downgrade(ColorSystem.EIGHT_BIT).number for label in labels]
    assert len(set(fills)) == len(labels)


def test_line_breaks_of_a_text_stay_and_whitespace_around_it_does_not() -> None:
    assert text_lines("\n  one\n\n  two \n", 80) == ["one", "", "  two"]
