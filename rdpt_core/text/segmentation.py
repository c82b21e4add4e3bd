"""Split traces into sentences: first cut positions, then spans between them, so nothing is lost.

Every segmenter only proposes cuts. A cut moves right over whitespace, so a sentence starts at a
non-whitespace character (except the first of a zone), and whitespace belongs to the preceding
sentence. No sentence crosses a zone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import sentencex

from rdpt_core.defaults import SEGMENTER, Segmenter
from rdpt_core.tables.recipe import Rule
from rdpt_core.tables.rows import Sentence, Trace, ZoneKind
from rdpt_core.text.protected import DISPLAY, masked, protected


class SegmentRule(Rule):
    """How text is split into sentences."""

    name: Segmenter = SEGMENTER
    """`maths` knows LaTeX, code, decimals, list numbers and abbreviations; `regex` cuts after
    ". " and "? " as the published same-team code does; `lines` cuts at line ends."""


def segment(trace: Trace, rule: SegmentRule) -> list[Sentence]:
    """The rows of one trace; a tag zone is one row, positions count all rows."""
    data = trace.text.encode()
    rows: list[Sentence] = []
    for zone in trace.zones:
        at = zone.start
        for length in _lengths(data[zone.start : zone.stop].decode(), zone.kind, rule):
            rows.append(Sentence(trace.trace_id, len(rows), at, at + length, zone.kind))
            at += length
    return rows


def spans(text: str, rule: SegmentRule) -> list[tuple[int, int]]:
    """Half-open spans in characters that join to `text`; none for an empty one.

    Text of only whitespace is one sentence.
    """
    if not text:
        return []
    starts = [0, *_settled(text, _CUTTERS[rule.name](text))]
    return list(zip(starts, [*starts[1:], len(text)], strict=True))


def _lengths(text: str, kind: ZoneKind, rule: SegmentRule) -> list[int]:
    """Length of each sentence in bytes."""
    if kind is ZoneKind.TAG:
        return [len(text.encode())]
    return [len(text[start:stop].encode()) for start, stop in spans(text, rule)]


_SPACE = re.compile(r"\s+")


def _settled(text: str, cuts: Iterable[int]) -> Iterator[int]:
    """The ascending cuts, moved right over whitespace; none twice, none at the text's end."""
    last = len(text) - len(text.lstrip())
    for cut in cuts:
        if cut <= last:
            continue
        space = _SPACE.match(text, cut)
        last = space.end() if space else cut
        if last < len(text):
            yield last


def _regex_cuts(text: str) -> Iterator[int]:
    """The pattern is `(\\. |\\? )`, its match kept with the piece before it: no `!`, no newline."""
    return (match.end() for match in re.finditer(r"\. |\? ", text))


def _line_cuts(text: str) -> Iterator[int]:
    return (match.end() for match in re.finditer(r"\n+", text))


def _maths_cuts(text: str) -> Iterator[int]:
    """Line ends that end a sentence, and the cuts of sentencex within the lines between them."""
    hidden = masked(text, protected(text))
    start = 0
    for gap in re.finditer(r"\n\s*", hidden):
        if _ends_line(text, start, gap):
            yield from _cuts_in_line(hidden[start : gap.start()], start)
            yield gap.end()
            start = gap.end()
    yield from _cuts_in_line(hidden[start:], start)


# A relation, and a line of only marks such as `---`; neither begins a sentence.
_CONTINUES = re.compile(
    r"\s*(?:=(?![=>])|[≈≡≤≥×÷]|\\(?:approx|equiv|leq?|geq?|times|cdot)\b"
    r"|[-*_=~|+:. \t]{1,200}(?:\n|\Z))"
)
_OPEN_END = re.compile(r"(?:(?<![=-])=|[×÷≈≡≤≥]|[\w)\]}] \+)\Z")


def _ends_line(text: str, start: int, gap: re.Match[str]) -> bool:
    """True if a line ends a sentence: not in the middle of a formula, not after a list mark, not
    before a rule such as `---`, and without an empty line not before lower case or a displayed
    formula."""
    line = text[max(start, gap.start() - 24) : gap.start()]
    if _ENUMERATOR.fullmatch(line) and gap.start() - start < 24:
        return False
    if _OPEN_END.search(line) or _CONTINUES.match(text, gap.end()):
        return False
    if "\n" in gap.group()[1:] or line.endswith((".", "!", "?", ":", ";")):
        return True
    next_char = text[gap.end() : gap.end() + 1]
    return not next_char.islower() and not text.startswith(DISPLAY, gap.end())


_CAN_END = re.compile(r"[.!?]\W|[^\x00-\x7f]")
_WINDOW = 2_000
"""Characters given to sentencex at a time: without spaces or with unclosed quotes it is quadratic
(1 MB of Chinese without spaces did not end in 60 s)."""


def _cuts_in_line(line: str, offset: int) -> Iterator[int]:
    if not _CAN_END.search(line):
        return
    readable = _without_false_ends(line)
    start = 0 if _CAN_END.search(readable) else len(line)
    while start < len(line):
        ends = _ends(readable[start : start + _WINDOW])
        for end in ends:
            cut = _behind_closers(line, start + end)
            if _ends_sentence(line, cut):
                yield offset + cut
        # The next window starts with the last, perhaps unfinished sentence of this one.
        start += ends[-1] if ends else _WINDOW


_CLOSING = r"(?:\*\*|__|[)\]}\"'”’»*_`]|</[a-z]{1,10}>)"
_CLOSERS = re.compile(rf"{_CLOSING}{{1,8}}(?=\s|\Z)")


def _behind_closers(line: str, cut: int) -> int:
    """The cut, moved past marks that close bold type, a bracket or a quotation: they belong to the
    sentence that they end."""
    closers = _CLOSERS.match(line, cut)
    return closers.end() if closers else cut


_BEFORE = 24
"""Characters before a cut that decide whether it ends a sentence. Formulas are masked as X."""
_END_MARK = re.compile(rf"[.!?:…。！？．।॥؟۔።](?:{_CLOSING}|X){{0,8}}\s*\Z")
_FACTORIAL = re.compile(r"(?:\d|\b[a-zA-Z]|[)}X])![)\]]{0,8}\s*\Z")
_ELLIPSIS = re.compile(r"(?:\.\.\.|…)\s*\Z")
_OPERATOR = re.compile(r"\s*[+^]\s")
_GOES_ON = re.compile(
    r"\s*(?:[=+×÷/^<>≤≥≈∪∩∧∨·→,;:.?()\]}%|]|[-*]\s*\w|[a-z]|\\[a-z])|(?<=\S)[A-Za-z0-9]"
)


def _ends_sentence(line: str, cut: int) -> bool:
    """False inside a formula: after anything except an end mark, and where a factorial or the dots
    of `1 + 2 + ... + n` continue."""
    before = line[max(0, cut - _BEFORE) : cut]
    if not _END_MARK.search(before) or _CONTINUES.match(line, cut) or _OPERATOR.match(line, cut):
        return False
    is_maths = _FACTORIAL.search(before) or _ELLIPSIS.search(before)
    return not (is_maths and _GOES_ON.match(line, cut))


# All whitespace of several bytes in UTF-8. sentencex 1.0.32 panics on one before an initial's full
# stop (`A<U+00A0>. B`); as vertical tabs they give the same sentences (2 of 58,410 texts full of
# them differed).
_WIDE_SPACE = re.compile("[\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")


def _ends(window: str) -> list[int]:
    """The ends of all sentences except the last."""
    found = sentencex.get_sentence_boundaries("en", _WIDE_SPACE.sub("\v", window))
    return [int(end["end_index"]) for end in found][:-1]


_NUMBER_AT_START = re.compile(
    r"[ \t]*(?:[-*+>#]{1,6}[ \t]+)?(?:\*\*)?"
    r"(?:(?:step|case|part|problem|example|question|claim|lemma|theorem)[ ])?"
    r"(?:\d{1,3}|[A-Za-z]|[ivx]{1,5})\.(?=\s)",
    re.IGNORECASE,
)
_ENUMERATOR = re.compile(
    r"\s*(?:[-*+>#]{1,6}[ \t]+)?(?:\*\*)?\(?(?:\d{1,3}|[A-Za-z]|[ivx]{1,5})[.)](?:\*\*)?[ \t]*"
)
# sentencex knows Dr., e.g. and similar; these occur in mathematical prose.
_FALSE_END = re.compile(
    r"\b(?i:eqs?|figs?|approx|resp|cf|thm|lem|prop|cor|def|ch|vs|ca|viz|w\.r\.t|w\.l\.o\.g)\.(?=\s)"
    r"|(?<=[.:;!?] )\d{1,2}\.(?= (?:[A-Z]|\*\*))|(?<=[.;!?] )(?:[IVX]{1,4}|[A-H])\.(?= [A-Z])"
)
# Abbreviations to sentencex, words in a trace: `Wait, no. That is`.
_WORD = re.compile(r"\b(?i:no|ok)(?=\. [A-Z])")
# sentencex takes `y.` for a person's initial unless it is joined to the preceding word; after a
# capitalised word it may well be an initial.
_VARIABLE = re.compile(r"(?<=\s)([^\sA-Z]\S*) (?=[A-Za-z]\. [A-Z])")


def _without_false_ends(line: str) -> str:
    """The line, of the same length, with the points of list numbers and abbreviations as letters,
    and with `solve for y. Then` as the end that it is."""
    number = _NUMBER_AT_START.match(line)
    if number:
        line = _letters(number) + line[number.end() :]
    line = _WORD.sub("xx", _FALSE_END.sub(_letters, line))
    return _VARIABLE.sub(r"\1x", line)


def _letters(match: re.Match[str]) -> str:
    return match.group().replace(".", "x")


_CUTTERS = {"maths": _maths_cuts, "regex": _regex_cuts, "lines": _line_cuts}
