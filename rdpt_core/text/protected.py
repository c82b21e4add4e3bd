"""Spans of a text inside which no sentence ends: mathematics and code.

One pass finds every delimiter; an opening one is then paired with the next closing one of its
kind by bisection, so a million unpaired dollars cost no more than letters.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator

# `\\` and `\$` come first: they are consumed, so that `\\[4pt]` and `\$5` open nothing.
_DELIMITER = re.compile(
    r"(?:\\[\\$])+|\\[()\[\]]|\\(?:begin|end)\{[A-Za-z]{1,20}\*?\}|\${1,2}|`{3,}|~{3,}|`"
    r"|\n[ \t\r]*\n\s*"
)
_CLOSING = {"\\(": "\\)", "\\[": "\\]", "$$": "$$", "$": "$", "`": "`"}
_INLINE = ("\\(", "$", "`")
_FENCES = ("```", "~~~")
DISPLAY = ("\\[", "$$", "\\begin{", *_FENCES)
"""Openings of a displayed formula or a code block."""
_MAX_INLINE = 2_000
"""Characters; longer text between two dollars is two prices, not a formula."""
_MAX_DISPLAY = 20_000


def protected(text: str) -> list[tuple[int, int]]:
    """Half-open spans in characters, in order, disjoint.

    LaTeX (`$..$`, `$$..$$`, `\\(..\\)`, `\\[..\\]`, environments), inline code, and code fenced by
    backquotes or tildes. An unpaired delimiter protects nothing. Inline forms do not cross an
    empty line.
    """
    found = [(match.start(), match.group()) for match in _DELIMITER.finditer(text)]
    closers: dict[str, list[int]] = {}
    for start, mark in found:
        if mark[0] == "\n" or _closes(text, start, mark):
            closers.setdefault("\n" if mark[0] == "\n" else mark, []).append(start)
    spans, at = [], 0
    for start, mark in found:
        if start >= at and _opens(text, start, mark):
            stop = _partner(start, mark, closers)
            if stop is not None:
                spans.append((start, stop))
                at = stop
    return spans


def _opens(text: str, start: int, mark: str) -> bool:
    if mark == "$":
        return not text[start + 1 : start + 2].isspace()
    if mark.startswith(_FENCES):
        return _begins_line(text, start)
    return mark in _CLOSING or mark.startswith("\\b")


def _closes(text: str, start: int, mark: str) -> bool:
    """A single dollar closes only after a non-space and before a non-digit, so that `$5 and $6`
    stay two prices."""
    if mark == "$":
        return not text[start - 1 : start].isspace() and not text[start + 1 : start + 2].isdigit()
    if mark.startswith(_FENCES):
        return _begins_line(text, start)
    return mark in ("$$", "`", "\\)", "\\]") or mark.startswith("\\e")


def _begins_line(text: str, start: int) -> bool:
    """True if only indentation precedes `start` on its line."""
    head = text[max(0, start - 12) : start]
    line = head.rpartition("\n")[2]
    return not line.strip() and len(line) < 12


def _partner(start: int, mark: str, closers: dict[str, list[int]]) -> int | None:
    """The end of the span that opens here, or None."""
    closing = _CLOSING.get(mark) or mark.replace("begin", "end", 1)  # a fence closes itself
    candidates = closers.get(closing, [])
    index = bisect_left(candidates, start + len(mark))
    if index == len(candidates):
        return None
    stop = candidates[index] + len(closing)
    inline = mark in _INLINE
    if stop - start > (_MAX_INLINE if inline else _MAX_DISPLAY):
        return None
    breaks = closers.get("\n", []) if inline else []
    return None if bisect_left(breaks, start) != bisect_left(breaks, stop) else stop


def masked(text: str, spans: list[tuple[int, int]]) -> str:
    """`text` with each span replaced by an inert word of the same length.

    A full stop at a span's end is kept, because `$x = 5.$ Then` does end a sentence.
    """
    return "".join(_pieces(text, spans))


def _pieces(text: str, spans: list[tuple[int, int]]) -> Iterator[str]:
    at = 0
    for start, stop in spans:
        inner = text[max(start, stop - 24) : stop].rstrip("$`~)]}\\ \n")
        yield text[at:start]
        yield "X" * (stop - start - 1)
        yield inner[-1] if inner[-1:] in (".", "?", "!") else "X"
        at = stop
    yield text[at:]
