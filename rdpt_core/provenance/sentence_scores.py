"""The one join of tokens and sentences: sums of token scores over sentences, for one model.

Thresholds, normalisations, sweeps and selectors read only what this makes, with no model and no
token in memory. It works on bytes, so it knows no tokenizer.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdpt_core.tables.rows import ScoreStatus, Sentence, SentenceScore, TokenScores, Trace, ZoneKind

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SCORED = (ScoreStatus.OK, ScoreStatus.PARTIAL)
WIDEST_ENTRY = 255
RANK_CAP = 100
WHITE_SPACE = np.array([c for c in range(0x3001) if chr(c).isspace()], dtype=np.uint32)
"""Code points that `str.isspace` calls white space; U+3000 is the largest."""


def sentence_scores(
    traces: Iterable[Trace], sentences: Iterable[Sentence], scores: Iterable[TokenScores]
) -> Iterator[SentenceScore]:
    """One row per sentence outside tags, under the one model that made `scores`.

    A token belongs to the sentence that holds its first byte which is not white space; a token of
    white space to that of its first byte; one without bytes to that of the next byte, or to the
    last sentence where none follows. White space is what `str.isspace` says, of whole characters.
    A token without a log-probability is a tag, or continues a long one, and counts nowhere; so
    does a token that the rule places in a tag, since a tag has no row (scorers write a tag as one
    missing entry, so there is none). Hence, per trace: the sentences' log-probabilities sum to
    that of the tokens.

    The score is None where the trace has none (`too_long`, `error`), where the sentence ends
    beyond `scored_stop`, and where it owns no token; `num_tokens` is then 0.

    Raises ValueError where sentences or tokens do not cover a trace, or a trace has no scores.
    """
    texts = {trace.trace_id: trace.text for trace in traces}
    cut = _by_trace(sentences)
    unscored = set(texts)
    for score in scores:
        if score.trace_id not in texts:
            raise ValueError(f"scores of trace {score.trace_id}, which is not among the traces")
        unscored.discard(score.trace_id)
        yield from _rows_of_trace(texts[score.trace_id], cut.get(score.trace_id, []), score)
    if unscored:
        raise ValueError(f"{len(unscored)} traces without scores, such as {min(unscored)}")


def _by_trace(sentences: Iterable[Sentence]) -> dict[str, list[Sentence]]:
    cut: dict[str, list[Sentence]] = defaultdict(list)
    for sentence in sentences:
        cut[sentence.trace_id].append(sentence)
    for rows in cut.values():
        rows.sort(key=lambda row: row.position)
    return cut


def _rows_of_trace(
    text: str, sentences: list[Sentence], score: TokenScores
) -> Iterator[SentenceScore]:
    white = _white_space(text)
    stops = np.array([row.stop for row in sentences], dtype=np.int64)
    tags = np.array([row.zone == ZoneKind.TAG for row in sentences], dtype=bool)
    _check_cover(score, sentences, len(white))
    token, owner = _owners(score, stops, tags, white)
    sums = _SentenceSums.over(score, token, owner, len(sentences))
    known = (sums.num_tokens > 0) & (stops <= score.scored_stop)
    if score.status not in SCORED:
        known[:] = False
    yield from sums.rows(score, sentences, known)


def _white_space(text: str) -> Bools:
    """Per UTF-8 byte, whether its character is white space."""
    points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    white = np.isin(points, WHITE_SPACE, kind="table")
    if text.isascii():
        return white
    num_bytes = 1 + (points > 0x7F).astype(np.int64) + (points > 0x7FF) + (points > 0xFFFF)
    return np.repeat(white, num_bytes)


def _check_cover(score: TokenScores, sentences: list[Sentence], num_bytes: int) -> None:
    edge = 0
    for row in sentences:
        if row.start != edge or row.stop <= edge:
            raise ValueError(
                f"trace {score.trace_id}: sentence {row.position} spans {row.start} to {row.stop}, "
                f"but the one before ends at {edge}: sentences join to the text"
            )
        edge = row.stop
    if edge != num_bytes:
        raise ValueError(f"trace {score.trace_id}: sentences end at byte {edge} of {num_bytes}")
    covered = int(score.token_bytes.sum(dtype=np.int64))
    if score.status in SCORED and (covered != score.scored_stop or covered > num_bytes):
        raise ValueError(
            f"trace {score.trace_id}: tokens of {score.scorer} cover {covered} bytes, but "
            f"scored_stop is {score.scored_stop} of {num_bytes}"
        )


def _owners(score: TokenScores, stops: Ints, tags: Bools, white: Bools) -> tuple[Ints, Ints]:
    """Indices of the entries that count, and the sentence that each belongs to."""
    if not len(stops) or score.status not in SCORED:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    widths = score.token_bytes.astype(np.int64)
    ends = np.cumsum(widths)
    starts = ends - widths
    in_tag = tags[_sentence_of(starts, stops)]
    missing = np.isnan(score.logprobs)
    # A missing entry outside tags after a full one continues it, and its bytes belong to it.
    after_full = np.concatenate(([False], widths[:-1] == WIDEST_ENTRY))
    heads = np.flatnonzero(~(missing & ~in_tag & after_full))
    head_ends = np.append(starts[heads[1:]], ends[-1:])
    anchors = _anchors(starts[heads], head_ends, white)
    owners = _sentence_of(anchors, stops)
    counts = ~missing[heads] & ~tags[owners]
    return heads[counts], owners[counts]


def _sentence_of(offsets: Ints, stops: Ints) -> Ints:
    """The sentence that holds each byte; an offset at the very end has the last one."""
    found = np.searchsorted(stops, offsets, side="right")
    return np.minimum(found, len(stops) - 1).astype(np.int64)


def _anchors(starts: Ints, ends: Ints, white: Bools) -> Ints:
    """Per span its first byte that is not white space, or its first byte where all are."""
    solid = np.append(np.flatnonzero(~white), len(white))
    first = solid[np.searchsorted(solid[:-1], starts)]
    return np.where(first < ends, first, starts).astype(np.int64)


@dataclass(frozen=True, slots=True)
class _SentenceSums:
    """Per sentence of one trace, sums over its tokens."""

    logprob: Floats
    num_tokens: Ints
    first: Floats
    entropy: Floats
    rank100: Floats
    """NaN where a rank is missing."""

    @classmethod
    def over(
        cls, score: TokenScores, token: Ints, owner: Ints, num_sentences: int
    ) -> _SentenceSums:
        logprobs = score.logprobs[token].astype(np.float64)
        ranks = score.ranks[token].astype(np.float64)
        ranks[ranks == 0] = np.nan
        first = np.full(num_sentences, np.nan)
        first[owner[::-1]] = logprobs[::-1]  # the last write wins, which is the first token

        def total(values: Floats) -> Floats:
            return np.bincount(owner, values, num_sentences).astype(np.float64)

        return cls(
            logprob=total(logprobs),
            num_tokens=np.bincount(owner, minlength=num_sentences).astype(np.int64),
            first=first,
            entropy=total(score.entropies[token].astype(np.float64)),
            rank100=total(np.minimum(ranks, RANK_CAP)),
        )

    def rows(
        self, score: TokenScores, sentences: list[Sentence], known: Bools
    ) -> Iterator[SentenceScore]:
        columns = zip(
            sentences,
            known.tolist(),
            _optional(self.logprob),
            self.num_tokens.tolist(),
            _optional(self.first),
            _optional(self.entropy),
            _optional(self.rank100),
            strict=True,
        )
        for row, is_known, logprob, num_tokens, first, entropy, rank100 in columns:
            if row.zone == ZoneKind.TAG:
                continue
            yield SentenceScore(
                trace_id=score.trace_id,
                position=row.position,
                scorer=score.scorer,
                logprob=logprob if is_known else None,
                num_tokens=num_tokens if is_known else 0,
                num_bytes=row.stop - row.start,
                first_logprob=first if is_known else None,
                sum_entropy=entropy if is_known else None,
                sum_rank100=int(rank100) if is_known and rank100 is not None else None,
            )


def _optional(values: Floats) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]
