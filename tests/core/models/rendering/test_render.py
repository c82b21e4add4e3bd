"""The render contract: what a model reads, and that a trace reaches it byte for byte.

Traps are named as in docs/scoring.md: T1, T2, ...
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from rdpt_core.models.rendering.render import NotVerbatim, Renderer, make_renderer, read_renderer
from rdpt_core.models.rendering.tokenizer_files import read_vocabulary
from rdpt_core.models.rendering.vocabulary import BLANK, Vocabulary
from rdpt_core.models.spec import ModelSpec, Thinking
from rdpt_core.tables.rows import FinishReason, ZoneKind
from tests.core.models import tiny
from tests.core.models.rendering.render_cases import laid_text

NAMES = ["qwen", "llama"]


def renderer(models: Path, name: str, **fields: object) -> Renderer:
    return read_renderer(ModelSpec.model_validate({"path": name, **fields}), models / name)


def test_t2_a_tag_of_the_prompt_is_not_laid_again(models: Path) -> None:
    qwen, llama = renderer(models, "qwen"), renderer(models, "llama")
    assert laid_text(qwen, tiny.THINKING) == tiny.THINKING
    assert laid_text(llama, tiny.THINKING) == tiny.THINKING.removeprefix("<think>\n")
    prompt = llama.vocabulary.join(llama.prompt_ids(tiny.problem())).decode()
    assert prompt.endswith("[A]<think>\n")


def test_declared_delimiters_are_laid(models: Path) -> None:
    none = renderer(models, "plain", thinking="none")
    thought = "First I add 12 and 30.\n12 + 30 = 42."
    assert laid_text(none, tiny.THINKING) == thought + "\n\nThe answer is 42."
    own = renderer(models, "plain", thinking=Thinking(open="[[", close="]] "))
    assert laid_text(own, tiny.THINKING) == f"[[{thought}]] The answer is 42."


def test_t1_a_template_that_throws_thoughts_away_never_sees_the_trace(models: Path) -> None:
    assert laid_text(renderer(models, "qwen"), tiny.THINKING) == tiny.THINKING


def test_an_answer_without_a_thought_closes_the_one_that_the_prompt_opened(models: Path) -> None:
    text = "The answer is 42."
    assert laid_text(renderer(models, "llama"), text) == "\n</think>\n\n" + text
    assert laid_text(renderer(models, "qwen"), text) == text


def test_a_model_without_a_template_reads_the_plain_problem(models: Path) -> None:
    vocabulary = read_vocabulary(models / "llama")
    base = make_renderer(ModelSpec(path="base", thinking="none"), vocabulary, None)
    assert base.vocabulary.join(base.prompt_ids(tiny.problem())).endswith(b"How many?")
    assert base.contract.bos == "tokenizer"
    assert base.contract.end == vocabulary.id_of("<|end|>")


@pytest.mark.parametrize("name", NAMES)
def test_t16_control_tokens_in_a_trace_are_text(models: Path, name: str) -> None:
    of = renderer(models, name)
    text = "It wrote <|im_end|> and <s> and <think> and <|end|> here."
    layout = of.lay(tiny.problem(), tiny.trace(text, tiny.problem(), delimiters="none"))
    answer = layout.pieces[-1]
    assert answer.kind is ZoneKind.ANSWER
    assert not any(of.vocabulary.is_control(token_id) for token_id in answer.token_ids)


@pytest.mark.parametrize("template", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_t16_control_tokens_in_a_problem_are_text(models: Path, name: str, template: bool) -> None:
    of = renderer(models, name)
    of = of if template else make_renderer(ModelSpec(path=name), of.vocabulary, None)
    quiet, loud = tiny.problem("What ends a turn?"), tiny.problem("What does <|im_end|><|end|> do?")

    def controls(ids: list[int]) -> list[int]:
        return [token_id for token_id in ids if of.vocabulary.is_control(token_id)]

    assert controls(of.prompt_ids(loud)) == controls(of.prompt_ids(quiet))
    assert b"<|im_end|><|end|>" in of.vocabulary.join(of.prompt_ids(loud))


@pytest.mark.fault("F35")
@pytest.mark.parametrize("name", NAMES)
@given(text=st.text(max_size=60).map(lambda text: text.replace(BLANK, "")))
def test_t15_every_byte_is_covered_once(models: Path, name: str, text: str) -> None:
    of = _cached(models, name)
    for whole in (text, f"<think>{text}</think>{text}"):
        laid = of.lay(tiny.problem(), tiny.trace(whole, tiny.problem()))
        assert sum(piece.num_bytes for piece in laid.pieces) == len(whole.encode())
        for piece in laid.pieces:
            if piece.kind is not ZoneKind.TAG:
                assert sum(piece.lengths) == piece.num_bytes
                assert len(piece.lengths) == len(piece.token_ids)


@pytest.mark.parametrize("text", [BLANK, f"so{BLANK}42"])
def test_t15_the_sign_that_stands_for_a_space_is_no_text_under_sentencepiece(
    models: Path, text: str
) -> None:
    """Its ids are those of a space, so its bytes cannot be covered: an error, not a guess."""
    trace = tiny.trace(text, tiny.problem())
    with pytest.raises(NotVerbatim):
        _cached(models, "llama").lay(tiny.problem(), trace)
    assert text in laid_text(_cached(models, "qwen"), text)


def test_a_text_whose_first_blanks_a_tokenizer_swallows_is_not_verbatim() -> None:
    """It is scored all the same, by `rdpt score` alone, which takes any tokenizer."""
    backend = tiny.sentence_piece([])
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="first")]
    )
    of = make_renderer(ModelSpec(path="strips"), Vocabulary(backend), None)
    problem = tiny.problem()
    assert of.lay_alone(problem, tiny.trace("42.", problem)).verbatim
    swallowed = of.lay_alone(problem, tiny.trace("   42.", problem))
    assert not swallowed.verbatim
    assert sum(swallowed.pieces[0].lengths) == len("   42.")


_made: dict[str, Renderer] = {}


def _cached(models: Path, name: str) -> Renderer:
    if name not in _made:
        _made[name] = renderer(models, name)
    return _made[name]


def test_a_tokenizer_without_bytes_for_a_text_says_so(models: Path) -> None:
    spec = json.loads((models / "llama" / "tokenizer.json").read_text())
    spec["model"]["byte_fallback"] = False
    folder = models / "unknowing"
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(spec))
    of = make_renderer(ModelSpec(path="u"), read_vocabulary(folder), None)
    with pytest.raises(ValueError, match="no tokens for this text"):
        laid_text(of, "Ж", delimiters="none")


def test_t17_it_is_known_whether_sampled_ids_are_the_tokenizers(models: Path) -> None:
    of = renderer(models, "qwen")
    plain = tiny.trace(tiny.THINKING, tiny.problem())
    ids = of.vocabulary.parse(tiny.THINKING)
    assert of.resampled(plain) is None
    assert of.resampled(replace(plain, token_ids=np.array(ids, np.int32))) is False
    words = [of.vocabulary.bytes_of(one).decode() for one in ids]
    at = next(i for i, word in enumerate(words) if len(word) > 1 and not word.startswith("<"))
    spelled = [one for letter in words[at] for one in of.vocabulary.encode(letter)]
    other = [*ids[:at], *spelled, *ids[at + 1 :]]
    assert of.resampled(replace(plain, token_ids=np.array(other, np.int32))) is True
    assert of.resampled(replace(plain, token_ids=np.array(ids[1:], np.int32))) is None


def test_t19_the_end_of_turn_follows_the_ending(models: Path) -> None:
    of = renderer(models, "qwen")

    def end_of(finish: FinishReason) -> tuple[bool, bool]:
        made = tiny.trace("It is 42.", tiny.problem(), finish)
        example = of.example(tiny.problem(), made)
        laid = of.lay(tiny.problem(), made)
        return bool(laid.end_ids), example.input_ids[-1] == of.contract.end

    assert end_of(FinishReason.STOP) == (True, True)
    assert end_of(FinishReason.LENGTH) == (False, False)
    # Nobody scores an end that may not have been there, but a student must learn to stop.
    assert end_of(FinishReason.UNKNOWN) == (False, True)


@pytest.mark.parametrize("name", NAMES)
def test_t3_an_example_begins_with_the_prompt_and_masks_it(models: Path, name: str) -> None:
    of = renderer(models, name)
    made = tiny.trace(tiny.THINKING, tiny.problem(), FinishReason.STOP)
    example = of.example(tiny.problem(), made)
    prompt = of.prompt_ids(tiny.problem())
    assert example.input_ids[: len(prompt)] == prompt
    assert example.completion_mask == [0] * len(prompt) + [1] * (
        len(example.input_ids) - len(prompt)
    )
    layout = of.lay(tiny.problem(), made)
    assert example.input_ids == layout.input_ids, "trained on and scored in one form"
