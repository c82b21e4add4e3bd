"""A trace in a terminal: each sentence with its label's letter, colour and probabilities.

What a model wrote is untrusted: no character of it reaches the terminal that could move the
cursor, change colours or reorder text. Never by colour alone: a letter says the same.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from rdpt_core.report.figures import FILLS, LETTERS, TEXT
from rdpt_core.tables.rows import Label, Provenance, Sentence, ZoneKind

NEAR = 0.01
"""A margin below it is marked where noise was not measured: two scorers of one model may differ by
0.005 in each probability (method.md section 3), so its label may turn."""
TAG, MISSING, NEAR_MARK = "|", "?", "~"
INDENT = 28
"""Columns before a sentence's text: position, letter, three probabilities."""
LEAST_WIDTH = 24
"""Of the text, however narrow the terminal."""
HIDDEN = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")
"""Unicode categories that are shown as escapes: controls, bidirectional marks, line separators."""


class Colour(StrEnum):
    NONE = "none"
    """No escape sequence at all."""
    INDEXED = "indexed"
    """256 colours; what is nearest in the 6 x 6 x 6 cube."""
    TRUE = "true"


@dataclass(frozen=True, slots=True)
class Shown:
    """A sentence as it is to be shown; `provenance` is None for a tag, or where nobody labels."""

    sentence: Sentence
    text: str
    provenance: Provenance | None


def trace_lines(
    sentences: Iterable[Shown], width: int, colour: Colour, near: float = NEAR
) -> Iterator[str]:
    """Lines of at most `width` columns, as far as that leaves LEAST_WIDTH for the text. Margins
    below `near` are marked."""
    yield f"{'':6}{'teacher':>7} {'student':>6} {'dist.':>6}"
    number = 0
    for one in sentences:
        is_tag = one.sentence.zone is ZoneKind.TAG
        number += not is_tag
        start = f"{TAG:>5}" if is_tag else _start(number, one.provenance, near)
        for index, line in enumerate(wrapped(one.text, width - INDENT)):
            painted = _painted(line, None if is_tag else one.provenance, colour)
            yield f"{start if index == 0 else '':<{INDENT}}{painted}".rstrip()


def legend(colour: Colour, near: float = NEAR) -> str:
    """What letters and marks mean, in the colours of the sentences."""
    named = [
        (Label.TEACHER, "teacher"),
        (Label.STUDENT, "student"),
        (Label.SHARED, "shared or common"),
        (Label.BOOSTED, "boosted"),
    ]
    words = [_filled(f"{LETTERS[label]} {name}", label, colour) for label, name in named]
    return "  ".join(
        [*words, f"{NEAR_MARK} margin below {near:.2g}", f"{MISSING} no score", TAG + " tag"]
    )


def _start(number: int, row: Provenance | None, near: float) -> str:
    if row is None:
        return f"{number:>3}"
    letter = LETTERS[row.label] if row.label else MISSING
    mark = NEAR_MARK if row.margin is not None and row.margin < near else " "
    values = " ".join(_p(p) for p in (row.p_teacher, row.p_student, row.p_distilled))
    return f"{number:>3} {letter}{mark} {values}"


def _p(value: float | None) -> str:
    return f"{'-' if value is None else format(value, '.3f'):>6}"


def wrapped(text: str, width: int) -> list[str]:
    """Printable lines; line breaks of the text are kept, white space around it is not."""
    width = max(width, LEAST_WIDTH)
    lines = (printable(line) for line in text.strip().split("\n"))
    return [
        piece
        for line in lines
        for piece in textwrap.wrap(line, width, break_on_hyphens=False) or [""]
    ]


def printable(text: str) -> str:
    """Text without a character that a terminal would act on: those become escapes (`\\\\x1b`)."""
    return "".join(
        _escaped(c) if unicodedata.category(c) in HIDDEN else c for c in text.replace("\t", "    ")
    )


def _escaped(character: str) -> str:
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


# ---------------------------------------------------------------------------- colour


def _painted(line: str, row: Provenance | None, colour: Colour) -> str:
    if row is None or row.label is None:
        return line
    return _filled(line, row.label, colour)


def _filled(line: str, label: Label, colour: Colour) -> str:
    """On the label's fill, in the dark text that the palette gives it on any terminal."""
    if colour is Colour.NONE:
        return line
    return f"\x1b[{_code(48, FILLS[label], colour)};{_code(38, TEXT, colour)}m{line}\x1b[0m"


def _code(ground: int, hexadecimal: str, colour: Colour) -> str:
    """Of an SGR sequence; `ground` is 38 (text) or 48 (behind it)."""
    rgb = [int(two, 16) for two in re.findall("..", hexadecimal[1:])]
    if colour is Colour.TRUE:
        return f"{ground};2;{rgb[0]};{rgb[1]};{rgb[2]}"
    r, g, b = (min(range(6), key=lambda i: abs(_LEVELS[i] - value)) for value in rgb)
    return f"{ground};5;{16 + 36 * r + 6 * g + b}"


_LEVELS = (0, 95, 135, 175, 215, 255)
