"""A trace as one model reads it: runs of ids, and the bytes of the trace behind each id."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from rdpt_core.models.rendering.vocabulary import Vocabulary
from rdpt_core.tables.rows import Trace, Zone, ZoneKind


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of ids laid for a model.

    A tag's ids are the reading model's delimiter (none where it is the author's alone), its
    `num_bytes` the bytes of the trace's own tag (0 where the trace has none there).
    """

    kind: ZoneKind
    token_ids: tuple[int, ...]
    num_bytes: int
    lengths: tuple[int, ...] = ()
    """Bytes of the trace per id, text pieces only; they sum to `num_bytes`."""

    def first(self, num_ids: int) -> Piece:
        """The beginning of a text piece."""
        lengths = self.lengths[:num_ids]
        return Piece(self.kind, self.token_ids[:num_ids], sum(lengths), lengths)


class RenderedExample(NamedTuple):
    """A row to fine-tune on; parallel lists, the mask 1 where the loss is taken."""

    input_ids: list[int]
    completion_mask: list[int]


@dataclass(frozen=True, slots=True)
class Layout:
    """A trace as one model reads it: prompt, pieces, end of turn."""

    prompt_ids: tuple[int, ...]
    pieces: tuple[Piece, ...]
    end_ids: tuple[int, ...]
    retokenized: bool
    whole: bool = True
    """False where the model's limit cut it off."""
    verbatim: bool = True
    """False where the tokenizer cannot write blanks at the start of a text, and swallowed some."""

    @property
    def completion_ids(self) -> list[int]:
        laid = [token_id for piece in self.pieces for token_id in piece.token_ids]
        return [*laid, *self.end_ids]

    @property
    def input_ids(self) -> list[int]:
        return [*self.prompt_ids, *self.completion_ids]

    def fit(self, limit: int) -> Layout | None:
        """What of it a model reads whose longest sequence is `limit`; None where no text fits.

        Delimiters are kept whole or not at all, and so is the end of turn. Nothing that is left out
        moves what is kept: a position is scored by those before it alone.
        """
        room = limit - len(self.prompt_ids)
        if len(self.completion_ids) <= room:
            return self
        kept: list[Piece] = []
        for piece in self.pieces:
            if len(piece.token_ids) > room:
                if piece.kind is not ZoneKind.TAG:
                    kept.append(piece.first(max(0, room)))
                break
            kept.append(piece)
            room -= len(piece.token_ids)
        if not any(piece.lengths for piece in kept):
            return None
        return replace(self, pieces=tuple(kept), end_ids=(), whole=False)


def map_sampled(body: list[int], trace: Trace, vocabulary: Vocabulary) -> tuple[Piece, ...] | None:
    """Sampled ids cut at the zones of their text, or None where they do not map.

    A token may straddle the edge of a tag with white space on the tag's side, such as ".\\n" before
    one and " So" behind: it belongs to the text, with the bytes that it has there.
    """
    raw, zones = trace.text.encode(), trace.zones
    lengths = vocabulary.lengths(body, raw)
    if lengths is None or not zones:
        return None if body else ()
    held: list[list[tuple[int, int]]] = [[] for _ in zones]
    at = index = 0
    for token_id, length in zip(body, lengths, strict=True):
        while index + 1 < len(zones) and at >= zones[index].stop:
            index += 1
        owner = _owner(raw, zones, index, at, at + length)
        if owner is None:
            return None
        zone = zones[owner]
        held[owner].append((token_id, min(at + length, zone.stop) - max(at, zone.start)))
        at += length
    return tuple(_sampled_piece(zone, pairs) for zone, pairs in zip(zones, held, strict=True))


def _owner(raw: bytes, zones: tuple[Zone, ...], index: int, start: int, stop: int) -> int | None:
    """The zone of a token that begins in zone `index`; None where two have a claim to it."""
    edge = zones[index].stop
    if stop <= edge:
        return index
    behind = zones[index + 1]
    if stop > behind.stop or zones[index].kind is behind.kind:
        return None
    if behind.kind is ZoneKind.TAG:
        return None if raw[edge:stop].strip() else index
    return None if raw[start:edge].strip() else index + 1


def _sampled_piece(zone: Zone, pairs: list[tuple[int, int]]) -> Piece:
    laid = tuple(token_id for token_id, _ in pairs)
    lengths = () if zone.kind is ZoneKind.TAG else tuple(length for _, length in pairs)
    return Piece(zone.kind, laid, zone.stop - zone.start, lengths)
