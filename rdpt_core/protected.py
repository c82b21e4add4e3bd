"""Stretches of a text inside which no sentence ends: mathematics and code.

One pass finds every delimiter; an opening one is then paired with the next closing one of its
kind by bisection, so a text of a million lone dollars costs no more than one of letters.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

# `\\` and `\$` come first: they are consumed, so that `\\[4pt]` and `\$5` open nothing.
_DELIMITER = re.compile(
    r"\\\\|\\\$|\\[()\[\]]|\\(?:begin|end)\{[A-Za-z]{1,20}\*?\}|\$\$?|```|`|\n[ \t\r]*\n"
)
_PAIRS = {"\\(": "\\)", "\\[": "\\]", "$$": "$$", "$": "$", "```": "```", "`": "`"}
_MAX_INLINE = 2_000
"""Characters; a longer stretch between two dollars is two prices, not a formula."""
_MAX_DISPLAY = 20_000


class _Found(NamedTuple):
    start: int
    stop: int
    kind: str


def protected(text: str) -> list[tuple[int, int]]:
    """Half-open spans in characters, in order, disjoint.

    LaTeX (`$..$`, `$$..$$`, `\\(..\\)`, `\\[..\\]`, environments), fenced and inline code. A
    delimiter without its partner protects nothing. Inline forms do not cross a blank line.
    """
    found = [_Found(m.start(), m.end(), m.group()) for m in _DELIMITER.finditer(text)]
    closers, breaks = _closers(text, found)
    spans, at = [], 0
    for opener in found:
        if opener.start < at or not _opens(text, opener):
            continue
        stop = _close(opener, closers, breaks)
        if stop is not None:
            spans.append((opener.start, stop))
            at = stop
    return spans


def _closers(text: str, found: list[_Found]) -> tuple[dict[str, list[_Found]], list[int]]:
    closers: dict[str, list[_Found]] = defaultdict(list)
    breaks = []
    for item in found:
        if item.kind.startswith("\n"):
            breaks.append(item.start)
        elif _closes(text, item):
            closers[item.kind].append(item)
    return closers, breaks


def _opens(text: str, item: _Found) -> bool:
    if item.kind == "$":
        return not text[item.stop : item.stop + 1].isspace()
    if item.kind == "```":
        return _begins_line(text, item.start)
    return item.kind in _PAIRS or item.kind.startswith("\\begin")


def _closes(text: str, item: _Found) -> bool:
    """A single dollar closes only after a non-space and before a non-digit, so that `$5 and $6`
    stay two prices."""
    if item.kind == "$":
        after = text[item.stop : item.stop + 1]
        return not text[item.start - 1 : item.start].isspace() and not after.isdigit()
    if item.kind == "```":
        return _begins_line(text, item.start)
    return True


def _begins_line(text: str, start: int) -> bool:
    head = text[max(0, start - 12) : start]
    return not head.rpartition("\n")[2].strip() and (len(head) < 12 or "\n" in head)


def _close(
    opener: _Found, closers: dict[str, list[_Found]], breaks: list[int]
) -> int | None:
    """Where the span of `opener` ends, or None."""
    kind = _PAIRS.get(opener.kind) or opener.kind.replace("begin", "end", 1)
    candidates = closers.get(kind, [])
    index = bisect_left(candidates, (opener.stop,))
    if index == len(candidates):
        return None
    closer = candidates[index]
    inline = kind in ("$", "\\)", "`")
    if closer.stop - opener.start > (_MAX_INLINE if inline else _MAX_DISPLAY):
        return None
    if inline and bisect_left(breaks, opener.stop) != bisect_left(breaks, closer.start):
        return None
    return closer.stop


def masked(text: str, spans: list[tuple[int, int]]) -> str:
    """`text` with each span as one inert word of the same length, its last mark kept.

    The mark is kept because `$x = 5.$ Then` does end a sentence.
    """
    return "".join(_masked_pieces(text, spans))


def _masked_pieces(text: str, spans: list[tuple[int, int]]) -> Iterator[str]:
    at = 0
    for start, stop in spans:
        yield text[at:start]
        yield "x" * (stop - start - 1) + _last_mark(text, stop)
        at = stop
    yield text[at:]


def _last_mark(text: str, stop: int) -> str:
    inner = text[max(0, stop - 24) : stop].rstrip("$`)]}\\ \n")
    return inner[-1] if inner[-1:] in (".", "?", "!") else "x"
