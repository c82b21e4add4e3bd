"""T14: the probability of the blank before a word, counted with the word or with what is before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rdpt_core.models.spec import Scoring
from rdpt_core.rows import FinishReason, Sentence, ZoneKind
from rdpt_core.scoring.blanks import blank_ids
from rdpt_core.sentence_scores import sentence_scores
from tests.core.models import tiny
from tests.core.scoring.test_scores import NAMES, TEXTS, brute_force, model, score

BEFORE = Scoring(leading_blank="before")


def spelled(token: bytes) -> str:
    return token.decode(errors="ignore")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", TEXTS)
def test_t14_a_blank_is_counted_where_its_byte_is(models: Path, name: str, text: str) -> None:
    """Token by token against every id's float64 probability."""
    loaded = model(models, name)
    trace = tiny.trace(text, tiny.problem(), FinishReason.STOP)
    layout = loaded.renderer.lay(tiny.problem(), trace)
    vocabulary = loaded.renderer.vocabulary
    blank_V = [spelled(vocabulary.bytes_of(i))[:1].isspace() and not vocabulary.is_control(i)
               for i in range(loaded.head.num_ids)]  # fmt: skip
    wanted_NV = brute_force(loaded, layout.input_ids, len(layout.prompt_ids))
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
    (row,) = score(loaded, [trace], how=BEFORE)
    found = row.logprobs[~np.isnan(row.logprobs)]
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert (found <= 1e-6).all()


@pytest.mark.parametrize("name", NAMES)
def test_t14_no_text_has_more_or_less_in_all(models: Path, name: str) -> None:
    loaded = model(models, name)
    some = [tiny.trace(text, tiny.problem()) for text in TEXTS]
    for plain, moved in zip(score(loaded, some), score(loaded, some, how=BEFORE), strict=True):
        assert np.nansum(moved.logprobs) == pytest.approx(np.nansum(plain.logprobs), abs=1e-3)
        assert moved.token_bytes.tolist() == plain.token_bytes.tolist()
        np.testing.assert_array_equal(moved.entropies, plain.entropies)


def test_t14_a_sentence_keeps_what_follows_its_blank(models: Path) -> None:
    """The blank between two sentences is the first one's byte, and then its probability too."""
    loaded, text = model(models, "qwen"), "He has 42. apples are what he has."
    trace = tiny.trace(text, tiny.problem())
    edge = text.index("apples")
    ids = loaded.renderer.lay(tiny.problem(), trace).completion_ids
    assert any(loaded.renderer.vocabulary.bytes_of(i).startswith(b" a") for i in ids)
    cut = [Sentence(trace.trace_id, position, start, stop, ZoneKind.ANSWER)
           for position, (start, stop) in enumerate([(0, edge), (edge, len(text))])]  # fmt: skip
    plain, moved = (
        [row.logprob for row in sentence_scores([trace], cut, score(loaded, [trace], how=how))]
        for how in (Scoring(), BEFORE)
    )
    assert None not in (*plain, *moved)
    assert moved[0] < plain[0] - 0.1  # type: ignore[operator]
    assert moved[1] > plain[1] + 0.1  # type: ignore[operator]


def test_which_ids_begin_with_a_blank(models: Path) -> None:
    vocabulary = model(models, "qwen").renderer.vocabulary
    found = blank_ids(vocabulary, vocabulary.size)
    tokens = [vocabulary.bytes_of(i) for i in range(vocabulary.size)]
    assert {
        bool(found[i]) for i, token in enumerate(tokens) if token[:1] in b" \n\t" and token
    } == {True}
    assert not any(found[i] for i, token in enumerate(tokens) if token[:1].isalnum())
    assert not any(found[i] for i in range(vocabulary.size) if vocabulary.is_control(i))
