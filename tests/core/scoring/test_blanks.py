"""T14: the probability of the blank before a word, counted with the word or with what is before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models

from rdpt_core.models.rendering.vocabulary import Vocabulary
from rdpt_core.models.spec import Scoring
from rdpt_core.provenance.sentence_scores import sentence_scores
from rdpt_core.scoring.blanks import blank_ids
from rdpt_core.scoring.hf import HfScorer
from rdpt_core.tables.rows import ScoreStatus, Sentence, ZoneKind
from tests.core.models import tiny
from tests.core.scoring.test_hf import NAMES, TEXTS, model, reference, score

BEFORE = Scoring(leading_blank="before").numerics


def spelled(token: bytes) -> str:
    return token.decode(errors="ignore")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", TEXTS)
def test_t14_a_blank_is_counted_where_its_byte_is(models: Path, name: str, text: str) -> None:
    """Token by token against every id's float64 probability."""
    loaded = model(models, name, BEFORE)
    trace, layout, wanted_NV = reference(loaded, text)
    vocabulary = loaded.renderer.vocabulary
    blank_V = [
        spelled(vocabulary.bytes_of(i))[:1].isspace() and not vocabulary.is_control(i)
        for i in range(loaded.head.num_ids)
    ]
    blank_N = wanted_NV[:, torch.tensor(blank_V)].logsumexp(1).tolist()
    wanted, at = [], 0
    for piece in layout.pieces:
        own = [float(wanted_NV[at + i, token]) for i, token in enumerate(piece.token_ids)]
        for i in range(1, len(own)):
            if piece.kind is not ZoneKind.TAG and blank_V[piece.token_ids[i]]:
                own[i] -= blank_N[at + i]
                own[i - 1] += blank_N[at + i]
        wanted += own if piece.kind is not ZoneKind.TAG else []
        at += len(piece.token_ids)
    (row,) = score(loaded, [trace])
    found = row.logprobs[~np.isnan(row.logprobs)]
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert (found <= 1e-6).all()
    assert row.end_logprob == pytest.approx(float(wanted_NV[-1, layout.end_ids[0]]), abs=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_t14_no_text_has_more_or_less_in_all(models: Path, name: str) -> None:
    some = [tiny.trace(text, tiny.problem()) for text in TEXTS]
    both = [score(model(models, name, numerics), some) for numerics in ("exact", BEFORE)]
    for plain, moved in zip(*both, strict=True):
        assert moved.scorer != plain.scorer, "the two are not one scorer, and share no noise"
        assert np.nansum(moved.logprobs) == pytest.approx(np.nansum(plain.logprobs), abs=1e-3)
        assert moved.token_bytes.tolist() == plain.token_bytes.tolist()
        assert moved.tag_logprob == plain.tag_logprob
        np.testing.assert_array_equal(moved.entropies, plain.entropies)


def test_t14_texts_are_signed_alike(models: Path) -> None:
    known = [model(models, "qwen", numerics).identity for numerics in ("exact", BEFORE)]
    assert known[0].author == known[1].author
    assert known[0].digest != known[1].digest


def test_t14_packs_and_chunks_move_nothing(models: Path) -> None:
    loaded, some = (
        model(models, "qwen", BEFORE),
        [tiny.trace(text, tiny.problem()) for text in TEXTS],
    )
    whole = score(loaded, some)
    for tokens in (7, 64):
        scorer = HfScorer(loaded).in_chunks_of(tokens)
        for one, other in zip(whole, scorer.score([tiny.problem()], some), strict=True):
            np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-5)


def test_t14_sampled_ids_and_a_cut_text(models: Path) -> None:
    """What is cut off takes no blank from what is kept; its own ids give a text the same sums."""
    loaded = model(models, "qwen", BEFORE)
    trace = tiny.trace(TEXTS[2] + " apples and more apples.", tiny.problem())
    laid = loaded.renderer.lay(tiny.problem(), trace)
    own = replace(
        trace, author=loaded.identity.author, token_ids=np.array(laid.completion_ids, np.int32)
    )
    whole, sampled = score(loaded, [trace, own])
    assert not sampled.retokenized
    np.testing.assert_allclose(sampled.logprobs, whole.logprobs, atol=1e-5)
    short = replace(loaded, limit=len(laid.prompt_ids) + 6)
    (part,) = HfScorer(short).score([tiny.problem()], [trace])
    assert part.status is ScoreStatus.PARTIAL
    np.testing.assert_allclose(
        part.logprobs[:-1], whole.logprobs[: len(part.logprobs) - 1], atol=1e-5
    )


def test_t14_a_sentence_keeps_what_follows_its_blank(models: Path) -> None:
    """The blank between two sentences is the first one's byte, and then its probability too."""
    text = "He has 42. apples are what he has."
    trace = tiny.trace(text, tiny.problem())
    edge = text.index("apples")
    renderer = model(models, "qwen").renderer
    ids = renderer.lay(tiny.problem(), trace).completion_ids
    assert any(renderer.vocabulary.bytes_of(i).startswith(b" a") for i in ids)
    cut = [
        Sentence(trace.trace_id, position, start, stop, ZoneKind.ANSWER)
        for position, (start, stop) in enumerate([(0, edge), (edge, len(text))])
    ]
    plain, moved = (
        [row.logprob for row in sentence_scores([trace], cut, score(one, [trace]))]
        for one in (model(models, "qwen"), model(models, "qwen", BEFORE))
    )
    assert None not in (*plain, *moved)
    assert moved[0] < plain[0] - 0.1  # type: ignore[operator]
    assert moved[1] > plain[1] + 0.1  # type: ignore[operator]


def test_which_ids_begin_with_a_blank(models: Path) -> None:
    vocabulary = model(models, "qwen").renderer.vocabulary
    found = blank_ids(vocabulary, vocabulary.size)
    tokens = [vocabulary.bytes_of(i) for i in range(vocabulary.size)]
    blank = {i for i, token in enumerate(tokens) if token[:1] in (b" ", b"\n", b"\t")}
    assert blank
    assert {i for i in range(vocabulary.size) if found[i]} >= blank
    assert not any(found[i] for i, token in enumerate(tokens) if token[:1].isalnum())
    assert not any(found[i] for i in range(vocabulary.size) if vocabulary.is_control(i))


def test_an_entry_that_no_text_can_have_begins_with_nothing() -> None:
    tokenizer = Tokenizer(models.BPE(vocab={"a": 0, "數": 1, "Ġa": 2}, merges=[]))
    tokenizer.decoder = decoders.ByteLevel()
    assert blank_ids(Vocabulary(tokenizer), 3).tolist() == [False, False, True]
