r"""Which expression of a text is its answer.

It stands, from the clearest place to the vaguest, in a box, behind words that announce it, or last
in the text. Outside a box it is the longest run of mathematics there: a number that is followed by
more of the same expression (`15\sqrt{3}`, `5+2i`) is not the answer, nor is one of the numbers of
`3 hours 20 minutes`. Every search is linear in the text, which a model wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from rdpt_core.grading.expressions import clean, plain
from rdpt_core.grading.quantities import QUANTITY, ROUNDED


def find_answer(text: str) -> str | None:
    """The expression that answers, without its delimiters; None if the text has none.

    Example: `42` of `So she pays $42.`
    """
    text = plain(text)
    boxes = _boxes(text)
    if boxes:
        final = _announced(text[boxes[-1].stop :], _FINAL)
        return final or clean(_last_boxes(text, boxes)) or None
    if _OPEN_BOX.search(text):
        return None
    return _announced(text) or _last(text)


@lru_cache(256)
def read_gold(text: str) -> str:
    """A gold answer is an expression as a whole, unless it is a solution or `$125$ miles`."""
    text = plain(text)
    boxes = _boxes(text)
    if boxes:
        return clean(_last_boxes(text, boxes))
    return _announced(text) or _only_formula(text) or clean(text)


class _Box(NamedTuple):
    """Where a box stands with its braces, and where its content begins."""

    start: int
    inside: int
    stop: int

    def content(self, text: str) -> str:
        return text[self.inside : self.stop - 1].strip()


_OPEN_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_BRACE = re.compile(r"\\(?:boxed|fbox|framebox)\s*\{|\\[{}]|[{}]")
_TOGETHER = re.compile(r".{0,10}|.{0,25}[,;].{0,25}|.{0,35}\b(?:and|or)\b.{0,35}", re.DOTALL)
"""Between two boxes that hold one answer together."""


def _boxes(text: str) -> list[_Box]:
    """Boxes that are closed, by their starts."""
    open_braces: list[re.Match[str]] = []
    boxes = []
    for brace in _BRACE.finditer(text):
        if brace.group() == "}" and open_braces:
            opening = open_braces.pop()
            if len(opening.group()) > 1:
                boxes.append(_Box(opening.start(), opening.end(), brace.end()))
        elif brace.group()[-1] == "{" and brace.group() != "\\{":
            open_braces.append(brace)
    return sorted(boxes)


def _last_boxes(text: str, boxes: list[_Box]) -> str:
    """The content of the last box, with those of the boxes that it stands together with: `2, 3`
    of `\\boxed{2} or \\boxed{3}`. Of nested boxes the innermost counts."""
    contents = [boxes[-1].content(text)]
    for box, following in reversed(list(pairwise(boxes))):
        between = text[box.stop : following.start]
        if box.stop > following.start or not _TOGETHER.fullmatch(between):
            break
        if box.content(text) != contents[-1]:
            contents.append(box.content(text))
    return ",".join(reversed(contents))


_ANNOUNCED = re.compile(
    r"\banswers?\b[^.\n:=]{0,80}?(?:\b(?:is|are|equals)\b|[:=])"
    r"|\bfinal answer\W{0,4}$"
    r"|答案(?:应该|应|就)?(?:是|为|為|等于|[:=])|答[:=]|答えは|答え[:=]|(?:정답|답)(?:은|[:=])"
    r"|\bréponse\b[^.\n]{0,40}?(?:\best\b|[:=])|\brespuesta\b[^.\n]{0,40}?(?:\bes\b|[:=])"
    r"|\bresposta\b[^.\n]{0,40}?(?:\bé\b|[:=])|\brisposta\b[^.\n]{0,40}?(?:\bè\b|[:=])"
    r"|\b(?:antwort|lösung)\b[^.\n]{0,40}?(?:\b(?:ist|lautet)\b|[:=])|\bответ\b[^.\n]{0,40}?[:=—-]",
    re.IGNORECASE | re.MULTILINE,
)
_FINAL = re.compile(r"\bfinal answer\b[^.\n:=]{0,80}?(?:\bis\b|:)", re.IGNORECASE)
"""Outdoes a box before it, which then held a step's result."""
_HASHES = re.compile(r"####[ \t]*(\S[^\n]*)\s*\Z")
_REACH = 400
"""Characters behind an announcement that can hold the answer."""
_TRIES = 10
"""Announcements that are looked behind, from the last one."""
_TAIL = 2_000
"""Characters at a text's end that can hold an answer which nothing announces."""


def _announced(text: str, announcing: re.Pattern[str] = _ANNOUNCED) -> str | None:
    """The expression behind the last words that announce one, in their sentence or on the next
    line; a GSM8K answer stands behind `####` on the last line."""
    hashes = _HASHES.search(text[-_TAIL:])
    found = _behind(hashes.group(1), "") if hashes else None
    for announcement in reversed(list(announcing.finditer(text))[-_TRIES:]):
        found = found or _behind(text[announcement.end() :][:_REACH], announcement.group())
    return found


def _behind(text: str, announcement: str) -> str | None:
    """The first expression of the sentence; behind a colon and words the last one, as 42 of
    `Answer: the least n with f(n) > 0 is 42`."""
    sentence = _sentence(text.lstrip(" \t\r\n:=*_\"'"))
    values = _values(sentence, is_prose=bool(announcement))
    if not values:
        return None
    return values[-1 if announcement.endswith(":") and _WORD.match(sentence) else 0]


def _sentence(text: str) -> str:
    """Up to the end of the line or the sentence; none ends inside a formula."""
    for token in _TOKEN.finditer(text):
        if token.lastgroup in ("end", "line"):
            return text[: token.start()]
    return text


def _last(text: str) -> str | None:
    tail = text[-_TAIL:]
    if len(text) > _TAIL:
        tail = tail.partition("\n")[2] or tail
    values = _values(_BULLET.sub("", tail), is_prose=bool(_WORD.search(tail)))
    return values[-1] if values else None


_BULLET = re.compile(r"^[ \t]*[-+*>][ \t]+", re.MULTILINE)


def _only_formula(text: str) -> str | None:
    runs = list(_runs(text))
    values = [run for run in runs if run.has_value]
    is_only = len(values) == 1 and values[0].text != text and _FORMULA.search(text)
    return clean(values[0].text) if is_only else None


class _Run(NamedTuple):
    """A stretch of mathematics. `has_value` is False for letters and operators alone, which may
    be prose."""

    text: str
    has_value: bool


def _values(text: str, is_prose: bool) -> list[str]:
    """The expressions in a text; one of letters alone counts only where there is nothing else. In
    prose `It is 5!` is no factorial."""
    runs = list(_runs(text))
    is_alone = len(runs) == 1 and not _WORD.search(text)
    values = [run.text for run in runs if run.has_value or is_alone]
    return [clean(value.rstrip("!") if is_prose else value) for value in values]


_FORMULA = re.compile(
    r"\$\$.{1,2000}?\$\$|\\\[.{1,2000}?\\\]|\\\(.{1,2000}?\\\)"
    r"|(?<![\\$])\$(?=\S)(?:\\.|[^$\n\\]){1,2000}?(?<=\S)\$(?![\d$])"
    r"|(?<![\\$])\$ (?:\\.|[^$\n\\]){1,2000}? \$(?![\d$])",
    re.DOTALL,
)
_NAMES = r"(?:sqrt|sin|cos|tan|log|ln|exp|pi|infty|percent|pct|and|or)"
# `cm^2`, `m2`, `km/h` and `XY2A` as a whole; any other script's letters, without its digits.
_WORD = re.compile(
    rf"(?<![\\A-Za-z])(?!{_NAMES}(?![A-Za-z]))"
    r"(?:[A-Za-z]{1,4}/(?:s|h|hr|min)\b|[A-Za-z]{2,}[\w'-]*(?:\^\{?\d\}?)?|[A-Za-z]\d\w*)"
    r"|[^\W\d_a-zA-Z]+|(?<=\d)(?:st|nd|rd|th)\b|(?<=\d )[mgsh]\^\{?[23]\}?(?!\w)"
)
_TOKEN = re.compile(
    rf"(?P<rounded>{ROUNDED})|(?P<quantity>{QUANTITY})|(?P<formula>{_FORMULA.pattern})|(?P<word>{_WORD.pattern})"
    rf"|(?P<joint>,|;|\b(?:and|or)\b)|(?P<command>\\[A-Za-z]+|\b{_NAMES}(?![A-Za-z]))"
    r"|(?P<number>(?:\d|\.(?=\d))(?:\d|[.,:](?=\d))*(?:e[+-]?\d+)?)"
    r"|(?P<article>\b[AaI]\b(?= [A-Za-z(\d]))|(?P<brace>\{)"
    r"|(?P<mark>[-+*/^_=<>()\[\]|!~%&}a-zA-Z]|\\[^\s$\"'])"
    r"|(?P<end>\.(?!\w)|[?。])|(?P<line>\s*\n\s*)|(?P<space>[\s$]|\\\$)|(?P<other>.)",
    re.DOTALL,
)


def _runs(text: str) -> Iterator[_Run]:
    """The longest stretches of formulas, numbers, commands and operators. Inside braces everything
    belongs to the stretch; a comma, `and` or `or` does between two parts of it."""
    start = stop = depth = 0
    has_value = False
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        is_inside = depth > 0 or (kind == "brace" and start < stop == token.start())
        if kind == "quantity" and not is_inside:
            if start < stop:
                yield _Run(text[start:stop], has_value)
            yield _Run(token.group(), True)
            start = stop = 0
            has_value = False
        elif is_inside or kind in ("formula", "number", "command", "mark"):
            depth = max(0, depth + (token.group() == "{") - (token.group() == "}"))
            start = start if start < stop else token.start()
            stop = token.end()
            has_value |= kind in ("formula", "number", "command")
        elif kind not in ("joint", "space"):
            if start < stop:
                yield _Run(text[start:stop], has_value)
            start = stop = 0
            has_value = False
    if start < stop:
        yield _Run(text[start:stop], has_value)
