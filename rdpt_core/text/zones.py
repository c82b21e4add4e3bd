"""Zones: which bytes of a trace are a delimiter, which are thought and which are the answer.

The first opening tag and the first closing tag after it count; later ones are text. Whitespace
next to a tag belongs to the tag, whitespace between two tags to the former.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rdpt_core.tables.rows import Zone, ZoneKind


class _Tag(NamedTuple):
    """A delimiter in the text, in characters, and the kinds of text before and after it."""

    start: int
    stop: int
    ends: ZoneKind
    begins: ZoneKind


def parse_zones(
    text: str,
    open: str | None,
    close: str | None,
    opened: bool = False,
    answer_open: str | None = None,
    answer_close: str | None = None,
) -> tuple[Zone, ...]:
    """Zones of `text` in UTF-8 bytes, without gap or overlap; none for an empty text.

    `opened` says that the author's prompt has opened the thought. A closing tag without an opening
    one closes a thought that began with the text: traces of models whose template opens the
    thought are often published like that. `answer_open` also ends an unclosed thought.
    Whitespace around the given tags does not matter.
    """
    tags = _thought_tags(text, _bare(open), _bare(close), opened)
    tags += _answer_tags(text, _bare(answer_open), _bare(answer_close), tags, opened)
    first = tags[0].ends if tags else ZoneKind.ANSWER
    return tuple(_in_bytes(text, _laid(text, tags, ZoneKind.THOUGHT if opened else first)))


def answer_text(text: str, zones: Sequence[Zone]) -> str | None:
    """The text of a trace outside its thought; None if it has no answer zone."""
    data = text.encode()
    parts = [data[zone.start : zone.stop] for zone in zones if zone.kind is ZoneKind.ANSWER]
    return b"\n".join(parts).decode() if parts else None


def _bare(tag: str | None) -> str | None:
    return (tag or "").strip() or None


def _thought_tags(text: str, open: str | None, close: str | None, opened: bool) -> list[_Tag]:
    opening = _find(text, open, 0, ZoneKind.ANSWER, ZoneKind.THOUGHT)
    closing = _find(text, close, 0, ZoneKind.THOUGHT, ZoneKind.ANSWER)
    if opening and opened and text[: opening.start].strip():
        opening = None  # an open thought cannot open again: the tag is quoted
    if opening and not (closing and closing.start < opening.start):
        closing = _find(text, close, opening.stop, ZoneKind.THOUGHT, ZoneKind.ANSWER)
        return [opening, closing] if closing else [opening]
    return [closing] if closing else []


def _answer_tags(
    text: str, open: str | None, close: str | None, before: Sequence[_Tag], opened: bool
) -> list[_Tag]:
    at = before[-1].stop if before else 0
    inside = before[-1].begins is ZoneKind.THOUGHT if before else opened
    ends = ZoneKind.THOUGHT if inside or not before else ZoneKind.ANSWER
    opening = _find(text, open, at, ends, ZoneKind.ANSWER)
    if inside and not opening:
        return []
    at = opening.stop if opening else at
    closing = _find(text, close, at, ZoneKind.ANSWER, ZoneKind.ANSWER)
    return [tag for tag in (opening, closing) if tag]


def _find(text: str, tag: str | None, at: int, ends: ZoneKind, begins: ZoneKind) -> _Tag | None:
    start = text.find(tag, at) if tag else -1
    return _Tag(start, start + len(tag), ends, begins) if tag and start >= 0 else None


def _laid(text: str, tags: Sequence[_Tag], first: ZoneKind) -> Iterator[Zone]:
    """The zones in characters."""
    at, kind = 0, first
    for tag in tags:
        start = at + len(text[at : tag.start].rstrip())
        stop = len(text) - len(text[tag.stop :].lstrip())
        if start > at:
            yield Zone(kind, at, start)
        yield Zone(ZoneKind.TAG, start, stop)
        at, kind = stop, tag.begins
    if at < len(text):
        yield Zone(kind, at, len(text))


def _in_bytes(text: str, zones: Iterator[Zone]) -> Iterator[Zone]:
    at = 0
    for zone in zones:
        stop = at + len(text[zone.start : zone.stop].encode())
        yield Zone(zone.kind, at, stop)
        at = stop
