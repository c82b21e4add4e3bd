"""Tokens to sentences: the written rule, and sums that agree."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdpt_core.provenance.sentence_scores import sentence_scores
from rdpt_core.tables.rows import (
    FinishReason,
    ScoreSource,
    ScoreStatus,
    Sentence,
    SentenceScore,
    TokenScores,
    Trace,
    ZoneKind,
)

NAN = float("nan")


def trace_of(text: str, trace_id: str = "t") -> Trace:
    return Trace(
        trace_id, "q", "author", 0, text, (), FinishReason.STOP, None, None, None, None, None, None
    )


def cut(*pieces: tuple[str, ZoneKind] | str, trace_id: str = "t") -> list[Sentence]:
    rows, start = [], 0
    for position, piece in enumerate(pieces):
        text, zone = (piece, ZoneKind.THOUGHT) if isinstance(piece, str) else piece
        stop = start + len(text.encode())
        rows.append(Sentence(trace_id, position, start, stop, zone))
        start = stop
    return rows


def scores_of(
    *tokens: tuple[int, float],
    status: ScoreStatus = ScoreStatus.OK,
    ranks: list[int] | None = None,
    trace_id: str = "t",
) -> TokenScores:
    widths = np.array([width for width, _ in tokens], dtype=np.uint8)
    logprobs = np.array([logprob for _, logprob in tokens], dtype=np.float32)
    known = ~np.isnan(logprobs)
    return TokenScores(
        trace_id,
        "m",
        status,
        int(widths.sum(dtype=int)),
        True,
        False,
        False,
        ScoreSource.FORWARD,
        1.0,
        None,
        None,
        0,
        None,
        widths,
        logprobs,
        known.astype(np.uint32) if ranks is None else np.array(ranks, dtype=np.uint32),
        np.where(known, 0.5, NAN).astype(np.float16),
        known.astype(np.float16),
        None,
        None,
    )


def join(text: str, sentences: list[Sentence], scores: TokenScores) -> list[SentenceScore]:
    return list(sentence_scores([trace_of(text)], sentences, [scores]))


def logprobs(rows: list[SentenceScore]) -> list[float | None]:
    return [row.logprob for row in rows]


def test_t13_t14_a_leading_space_does_not_pull_a_token_into_the_sentence_before() -> None:
    rows = join("A. B.", cut("A. ", "B."), scores_of((2, -1.0), (2, -2.0), (1, -4.0)))
    assert logprobs(rows) == [-1.0, -6.0]
    assert [row.num_tokens for row in rows] == [1, 2]
    assert [row.num_bytes for row in rows] == [3, 2]
    assert [row.first_logprob for row in rows] == [-1.0, -2.0]


def test_t13_white_space_alone_belongs_to_the_sentence_of_its_first_byte() -> None:
    # One token " \n" straddles the boundary after the space.
    rows = join("A. \nB", cut("A. ", "\nB"), scores_of((2, -1.0), (2, -2.0), (1, -4.0)))
    assert logprobs(rows) == [-3.0, -4.0]


def test_white_space_is_of_whole_characters_even_when_a_token_holds_some_of_their_bytes() -> None:
    # U+3000 is three bytes; the second token has the last of them and the letter.
    rows = join("A\u3000B", cut("A\u3000", "B"), scores_of((3, -1.0), (2, -2.0)))
    assert logprobs(rows) == [-1.0, -2.0]


def test_a_token_without_bytes_belongs_to_the_next_byte() -> None:
    rows = join("AB", cut("A", "B"), scores_of((1, -1.0), (0, -8.0), (1, -2.0), (0, -16.0)))
    assert logprobs(rows) == [-1.0, -26.0]


def test_a_tag_has_no_row_and_its_entry_counts_nowhere() -> None:
    sentences = cut(("<think>\n", ZoneKind.TAG), "A", ("</think>", ZoneKind.TAG), "B")
    rows = join(
        "<think>\nA</think>B", sentences, scores_of((8, NAN), (1, -1.0), (8, NAN), (1, -2.0))
    )
    assert [row.position for row in rows] == [1, 3]
    assert logprobs(rows) == [-1.0, -2.0]


def test_a_token_that_lies_in_a_tag_counts_nowhere() -> None:
    rows = join(
        "A\n<t>B",
        cut("A", ("\n<t>", ZoneKind.TAG), "B"),
        scores_of((1, -1.0), (1, -9.0), (3, NAN), (1, -2.0)),
    )
    assert logprobs(rows) == [-1.0, -2.0]


def test_a_token_over_255_bytes_has_the_bytes_of_its_continuations() -> None:
    # Written as 255 + 45; its first solid byte lies in the second entry.
    text = "A. " + " " * 299 + "B"
    rows = join(text, cut("A. ", " " * 299 + "B"), scores_of((3, -1.0), (255, -2.0), (45, NAN)))
    assert logprobs(rows) == [-1.0, -2.0]


def test_a_tag_after_a_full_entry_is_not_its_continuation() -> None:
    text = " " * 255 + "<t>" + "B"
    rows = join(
        text,
        cut(" " * 255, ("<t>", ZoneKind.TAG), "B"),
        scores_of((255, -2.0), (3, NAN), (1, -1.0)),
    )
    assert logprobs(rows) == [-2.0, -1.0]


def test_t33a_sentences_beyond_scored_stop_are_missing_even_when_only_partly_beyond() -> None:
    rows = join(
        "AABBCC", cut("AA", "BB", "CC"), scores_of((2, -1.0), (1, -2.0), status=ScoreStatus.PARTIAL)
    )
    assert logprobs(rows) == [-1.0, None, None]
    assert [row.num_tokens for row in rows] == [1, 0, 0]
    assert rows[1].first_logprob is None
    assert rows[1].sum_entropy is None


@pytest.mark.parametrize("status", [ScoreStatus.TOO_LONG, ScoreStatus.ERROR])
def test_an_unscored_trace_has_every_row_without_numbers(status: ScoreStatus) -> None:
    rows = join("AB", cut("A", "B"), scores_of(status=status))
    assert logprobs(rows) == [None, None]


def test_a_sentence_without_a_token_is_missing() -> None:
    rows = join("A\nB", cut("A", "\n", "B"), scores_of((1, -1.0), (2, -2.0)))
    assert logprobs(rows) == [-1.0, None, -2.0]


def test_entropy_and_clipped_ranks_are_summed_and_missing_where_one_is() -> None:
    rows = join(
        "ABC", cut("AB", "C"), scores_of((1, -1.0), (1, -1.0), (1, -1.0), ranks=[7, 500, 0])
    )
    assert [row.sum_rank100 for row in rows] == [107, None]
    assert [row.sum_entropy for row in rows] == [1.0, 0.5]


def test_an_empty_trace_has_no_rows() -> None:
    assert join("", [], scores_of()) == []


def test_a_trace_without_scores_is_an_error() -> None:
    with pytest.raises(ValueError, match="1 traces without scores, such as t"):
        list(sentence_scores([trace_of("A")], cut("A"), []))


@pytest.mark.parametrize("sentences", [cut("A"), cut("A", "BC"), cut("A", "B")[1:]])
def test_sentences_that_do_not_cover_the_text_are_refused(sentences: list[Sentence]) -> None:
    with pytest.raises(ValueError, match="trace t: sentence"):
        join("AB", sentences, scores_of((2, -1.0)))


def test_tokens_that_do_not_cover_the_text_are_refused() -> None:
    with pytest.raises(ValueError, match="cover 3 bytes"):
        join("AB", cut("AB"), scores_of((3, -1.0)))


@st.composite
def cut_texts(draw: st.DrawFn) -> tuple[list[str], list[int]]:
    alphabet = st.sampled_from("ab. \n\u3000é😀")
    pieces = draw(st.lists(st.text(alphabet, min_size=1, max_size=6), min_size=1, max_size=6))
    size = len("".join(pieces).encode())
    edges = draw(st.lists(st.integers(0, size), max_size=12))
    edges = sorted([0, size, *edges])
    return pieces, [stop - start for start, stop in itertools.pairwise(edges)]


@pytest.mark.fault("F35")
@settings(max_examples=50, deadline=None)
@given(cut_texts(), st.integers(0, 2**32 - 1))
def test_t13_sentences_sum_to_their_tokens(drawn: tuple[list[str], list[int]], seed: int) -> None:
    pieces, widths = drawn
    values = -np.random.default_rng(seed).random(len(widths))
    tokens = scores_of(*zip(widths, values.tolist(), strict=True))
    rows = join("".join(pieces), cut(*pieces), tokens)
    assert len(rows) == len(pieces)
    assert sum(row.num_tokens for row in rows) == len(widths)
    total = sum(row.logprob or 0.0 for row in rows)
    assert total == pytest.approx(float(tokens.logprobs.astype(float).sum()), abs=1e-9)


@pytest.mark.fault("F35")
@settings(max_examples=50, deadline=None)
@given(cut_texts())
def test_owners_agree_with_the_rule_spelt_out(drawn: tuple[list[str], list[int]]) -> None:
    pieces, widths = drawn
    text = "".join(pieces)
    white = [c.isspace() for c in text for _ in c.encode()]
    owner = [i for i, piece in enumerate(pieces) for _ in piece.encode()]
    expected, start = [0] * len(pieces), 0
    for width in widths:
        solid = [i for i in range(start, start + width) if not white[i]]
        at = solid[0] if solid else start
        expected[owner[at] if at < len(owner) else -1] += 1
        start += width
    rows = join(text, cut(*pieces), scores_of(*((width, -1.0) for width in widths)))
    assert [row.num_tokens for row in rows] == expected


def test_twenty_traces_of_10000_tokens_join_within_two_seconds() -> None:
    text = "word. " * 5000
    sentences = cut(*["word. " * 25] * 200)
    scores = scores_of(*[(4, -1.0), (2, -0.5)] * 5000)
    started = time.perf_counter()
    rows = sum(len(join(text, sentences, scores)) for _ in range(20))
    assert rows == 4000
    assert time.perf_counter() - started < 2
