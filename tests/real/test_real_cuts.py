"""Sentences of published traces: each kind of bad cut is rarer than 1 in 10,000."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from rdpt_core.text.segmentation import SegmentRule, spans
from tests.real import data

pytestmark = data.needed

RARE = 1e-4

PIECES = {
    "an enumerator alone": re.compile(
        r"\s*(?:[-*+>#]+\s*)?\**\(?(?:\d{1,3}|[a-zA-Z]|[ivx]+)[.)]\**\s*\Z"
    ),
    "no letter or digit": re.compile(r"\W*\Z"),
    "begins with an operator": re.compile(r"=(?![=>])|[×÷≈≤≥]|\+ "),
    "begins with what closes": re.compile(r"[)\]}”»,;:%]|\*\*\s|\.(?!\.|\d)"),
    "ends with an operator": re.compile(
        r"(?s:.*)(?:(?<![-=])=|[×÷^]|\s\+|\([^()]{0,9}\s[-+/])\s*\Z"
    ),
    "ends with an open bracket": re.compile(r"(?s:.*)[(\[]\s*\Z"),
    "part of a fence of backquotes": re.compile(r"(?s:(?!.*```.*```).*```)"),
    "part of a fence of tildes": re.compile(r"(?s:(?!.*~~~.*~~~).*~~~)"),
}
"""What one sentence looks like that a cut has damaged."""

CUTS = {
    "behind a factorial": re.compile(r"\d![)\]]* \Z"),
    "behind dots": re.compile(r"\.\.\.\s*\Z"),
    "inside a number": re.compile(r"\d[.,]\Z"),
    "inside an address": re.compile(r"(?:https?://|www\.)\S+\Z"),
    "behind an abbreviation": re.compile(
        r"\b(?:e\.g|i\.e|vs|cf|approx|Eq|Fig|Dr|Mr|Mrs|Prof)\. \Z"
    ),
}
"""What stands before a cut that goes on in the middle of something."""
GOES_ON = re.compile(r"[=+×÷/^<>≤≥,;)\]|]|[a-z(]")
NUMBER_GOES_ON = re.compile(r"\d")


def found(text: str, starts: list[int]) -> Iterator[str]:
    for start, stop in zip(starts, [*starts[1:], len(text)], strict=True):
        yield from (kind for kind, form in PIECES.items() if form.match(text, start, stop))
        before = text[max(0, start - 40) : start].rpartition("\n")[2]
        goes_on = NUMBER_GOES_ON if re.search(r"\d[.,]\Z", before) else GOES_ON
        if start and before and goes_on.match(text, start):
            yield from (kind for kind, form in CUTS.items() if form.search(before))
        if start and before.count("`") % 2 and "`" in text[start:stop].partition("\n")[0]:
            yield "inside code"
        if _is_inside_bracket(text[max(0, start - 400) : start]):
            yield "inside a bracket"


def _is_inside_bracket(before: str) -> bool:
    line = before.rpartition("\n")[2]
    return bool(line) and (line.count("(") > line.count(")"))


@pytest.fixture(scope="module")
def counts() -> Counter[str]:
    """Cuts, and the bad ones by their kind."""
    counts: Counter[str] = Counter()
    for text in data.traces():
        starts = [start for start, _ in spans(text, SegmentRule())]
        counts["all"] += len(starts)
        counts.update(found(text, starts))
    return counts


KINDS = [*PIECES, *CUTS, "inside code", "inside a bracket"]


@pytest.mark.parametrize("kind", KINDS)
def test_bad_cuts_are_rare(counts: Counter[str], kind: str) -> None:
    assert counts["all"] > 100_000
    assert counts[kind] < RARE * counts["all"]
