"""A trace in a terminal: each sentence with its label's letter, colour and probabilities.

Never by colour alone: a letter says the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.style import Style
from rich.text import Text

from rdpt_core.report.palette import FILLS, LETTERS, TEXT
from rdpt_core.report.terminal import Terminal
from rdpt_core.tables.rows import Label, Provenance, Sentence, ZoneKind
from rdpt_core.text.printable import printable

NEAR = 0.01
"""A margin below it is marked where noise was not measured: two scorers of one model may differ by
0.005 in each probability (method.md section 3), so its label may turn."""
TAG, MISSING, NEAR_MARK = "|", "?", "~"
INDENT = 28
"""Columns before a sentence's text: position, letter, three probabilities."""
LEAST_WIDTH = 24
"""Columns of the text, however narrow the terminal."""


@dataclass(frozen=True, slots=True)
class SentenceLine:
    """A sentence as it is to be shown; `provenance` is None for a tag, or where it has no label."""

    sentence: Sentence
    text: str
    provenance: Provenance | None


def trace_lines(
    sentences: Iterable[SentenceLine], width: int | None, near: float = NEAR
) -> Iterator[Text]:
    """Lines of at most `width` columns, as far as that leaves LEAST_WIDTH for the text. Margins
    below `near` are marked."""
    yield Text(f"{'':6}{'teacher':>7} {'student':>6} {'dist.':>6}")
    number = 0
    for one in sentences:
        is_tag = one.sentence.zone is ZoneKind.TAG
        number += not is_tag
        start = f"{TAG:>5}" if is_tag else _start(number, one.provenance, near)
        label = one.provenance.label if one.provenance and not is_tag else None
        for index, line in enumerate(
            text_lines(one.text, None if width is None else width - INDENT)
        ):
            shown = Text(f"{start if index == 0 else '':<{INDENT}}")
            shown.append(line, _fill(label) if label else None)
            shown.rstrip()
            yield shown


def legend(near: float = NEAR) -> Text:
    """What letters and marks mean, in the colours of the sentences; two lines."""
    named = [
        (Label.TEACHER, "teacher"),
        (Label.STUDENT, "student"),
        (Label.SHARED, "shared or common"),
        (Label.BOOSTED, "boosted"),
    ]
    words = [Text(f"{LETTERS[label]} {name}", _fill(label)) for label, name in named]
    marks = (f"{NEAR_MARK} margin below {near:.2g}", f"{MISSING} no score", f"{TAG} tag")
    return Text("\n").join([Text("  ").join(words), Text("  ".join(marks))])


def _fill(label: Label) -> Style:
    """The label's fill, with the dark text that the palette gives it on any terminal."""
    return Style(color=TEXT, bgcolor=FILLS[label])


def _start(number: int, row: Provenance | None, near: float) -> str:
    if row is None:
        return f"{number:>3}"
    letter = LETTERS[row.label] if row.label else MISSING
    mark = NEAR_MARK if row.margin is not None and row.margin < near else " "
    values = " ".join(_p(p) for p in (row.p_teacher, row.p_student, row.p_distilled))
    return f"{number:>3} {letter}{mark} {values}"


def _p(value: float | None) -> str:
    return f"{'-' if value is None else format(value, '.3f'):>6}"


def text_lines(text: str, width: int | None) -> list[str]:
    """Printable lines; line breaks of the text are kept, whitespace around it is not. Where a
    width is given, lines are wrapped to so many columns of a terminal."""
    lines = [printable(line) for line in text.strip().split("\n")]
    if width is None:
        return lines
    console, width = Terminal(), max(width, LEAST_WIDTH)
    return [
        piece.plain.rstrip()
        for line in lines
        for piece in Text(line).wrap(console, width, overflow="fold")
    ]
