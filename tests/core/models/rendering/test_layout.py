"""A trace as one model reads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from rdpt_core.models.rendering.render import Renderer
from rdpt_core.tables.rows import FinishReason, Trace
from tests.core.models import tiny
from tests.core.models.rendering.test_render import renderer


def sampled(of: Renderer, ids: list[int], finish: FinishReason) -> Trace:
    body = ids[:-1] if finish is FinishReason.STOP else ids
    text = of.vocabulary.decode(body, of.contract.fresh)
    made = tiny.trace(text, tiny.problem(), finish)
    return replace(made, token_ids=np.array(ids, np.int32), zones=of.zones(text))


def test_t17_sampled_ids_are_laid_as_sampled(models: Path) -> None:
    of = renderer(models, "qwen")
    # Letter by letter: nothing that the tokenizer would write itself.
    letters = [of.vocabulary.encode(letter)[0] for letter in "So 42."]
    end = of.contract.end
    assert end is not None
    ids = [*of.vocabulary.parse("<think>\n"), *letters, *of.vocabulary.parse("\n</think>\n\n")]
    ids += [*letters, end]
    layout = of.lay(tiny.problem(), sampled(of, ids, FinishReason.STOP), sampled=True)
    assert not layout.retokenized
    assert layout.completion_ids == ids
    assert layout.end_ids == (end,)
    assert [piece.kind.value for piece in layout.pieces] == ["tag", "thought", "tag", "answer"]


def test_t17_a_token_between_thought_and_tag_belongs_to_the_thought(models: Path) -> None:
    of = renderer(models, "qwen")
    straddling = of.vocabulary.encode(".\n")
    assert len(straddling) == 1, "the fixture must have a token for it"
    ids = [*of.vocabulary.parse("<think>\n"), *of.vocabulary.encode("So"), *straddling]
    ids += [*of.vocabulary.parse("</think>\n\n"), *of.vocabulary.encode("42")]
    layout = of.lay(tiny.problem(), sampled(of, ids, FinishReason.LENGTH), sampled=True)
    assert not layout.retokenized
    thought = layout.pieces[1]
    assert thought.token_ids[-1] == straddling[0]
    assert (thought.lengths[-1], thought.num_bytes) == (1, 3)


def test_t17_a_token_between_tag_and_answer_belongs_to_the_answer(models: Path) -> None:
    of = renderer(models, "llama")
    ids = [*of.vocabulary.encode("So."), *of.vocabulary.encode("\n</think>")]
    every = {index: of.vocabulary.bytes_of(index) for index in range(of.vocabulary.size)}
    glued = [next(key for key, token in every.items() if token[:1] == b" " and token[1:].isalpha())]
    size = len(every[glued[0]]) - 1
    layout = of.lay(tiny.problem(), sampled(of, [*ids, *glued], FinishReason.LENGTH), sampled=True)
    assert not layout.retokenized
    assert [piece.kind.value for piece in layout.pieces] == ["thought", "tag", "answer"]
    assert (layout.pieces[2].token_ids, layout.pieces[2].lengths) == (tuple(glued), (size,))
    assert layout.pieces[1].num_bytes == len("\n</think> ")


def test_t17_ids_that_are_not_the_text_are_encoded_again(models: Path) -> None:
    of = renderer(models, "qwen")
    half = of.vocabulary.encode("Ж")[:1]
    trace = sampled(of, [*of.vocabulary.encode("A caf"), *half], FinishReason.LENGTH)
    layout = of.lay(tiny.problem(), trace, sampled=True)
    assert layout.retokenized
