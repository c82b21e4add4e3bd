"""The render contract: what a model reads, and that a trace reaches it byte for byte.

Traps are named as in docs/scoring.md: T1, T2, ...
"""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from rdpt_core.models.rendering import template as templates
from rdpt_core.models.rendering.contract import ClosedThinking, UndeclaredThinking
from rdpt_core.models.rendering.render import NotVerbatim, Renderer, make_renderer, read_renderer
from rdpt_core.models.rendering.tokenizer_files import read_vocabulary
from rdpt_core.models.rendering.vocabulary import BLANK, Vocabulary
from rdpt_core.models.spec import ModelSpec, Thinking
from rdpt_core.tables.rows import FinishReason, Trace, ZoneKind
from rdpt_core.text.delimiters import named_delimiters
from tests.core.models import tiny
from tests.core.models.rendering.render_cases import laid_text, with_template

NAMES = ["qwen", "llama"]


def renderer(models: Path, name: str, **fields: object) -> Renderer:
    return read_renderer(ModelSpec.model_validate({"path": name, **fields}), models / name)


def test_t2_where_the_opening_tag_stands_is_read_by_rendering(models: Path) -> None:
    qwen, llama = renderer(models, "qwen").contract, renderer(models, "llama").contract
    assert (qwen.think_open, qwen.open, qwen.close) == ("trace", "<think>\n", "\n</think>\n\n")
    assert (llama.think_open, llama.open, llama.close) == ("prompt", "<think>\n", "\n</think>\n\n")


def test_t2_a_tag_of_the_prompt_is_not_laid_again(models: Path) -> None:
    qwen, llama = renderer(models, "qwen"), renderer(models, "llama")
    assert laid_text(qwen, tiny.THINKING) == tiny.THINKING
    assert laid_text(llama, tiny.THINKING) == tiny.THINKING.removeprefix("<think>\n")
    prompt = llama.vocabulary.join(llama.prompt_ids(tiny.problem())).decode()
    assert prompt.endswith("[A]<think>\n")


def test_t2_other_tags_are_found_too() -> None:
    turn = "{% for m in messages %}{{ m.content }}{% endfor %}"
    mistral = turn + "{% if add_generation_prompt %}[THINK]{% endif %}"
    found = with_template(mistral).contract
    assert (found.think_open, found.open, found.close) == ("prompt", "[THINK]", "\n[/THINK]\n\n")
    channels = (
        "{% for m in messages %}{% if m.role == 'assistant' %}A<|analysis|>{{ m.thinking }}"
        "<|final|>{{ m.content }}<|im_end|>{% else %}{{ m.content }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}A{% endif %}"
    )
    found = with_template(channels).contract
    assert (found.think_open, found.open, found.close) == ("trace", "<|analysis|>", "<|final|>")


def test_a_turn_header_in_brackets_is_no_thinking_tag() -> None:
    source = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<|assistant|>\n"
    assert with_template(source).contract.think_open is None


def test_undeclared_delimiters_are_refused_with_the_lines_that_help(models: Path) -> None:
    plain = renderer(models, "plain")
    # The tokenizer knows the tags although the template does not.
    assert plain.contract.think_open == "trace"
    bare = with_template(tiny.PLAIN)
    with pytest.raises(UndeclaredThinking) as refused:
        bare.require_thinking()
    assert 'thinking = {open = "<think>\\n", close = "\\n</think>\\n\\n"}' in str(refused.value)
    assert 'thinking = "none"' in str(refused.value)
    with pytest.raises(UndeclaredThinking):
        laid_text(bare, tiny.THINKING)
    assert laid_text(bare, "The answer is 42.") == "The answer is 42."


def test_declared_delimiters_are_laid(models: Path) -> None:
    none = renderer(models, "plain", thinking="none")
    thought = "First I add 12 and 30.\n12 + 30 = 42."
    assert laid_text(none, tiny.THINKING) == thought + "\n\nThe answer is 42."
    own = renderer(models, "plain", thinking=Thinking(open="[[", close="]] "))
    assert laid_text(own, tiny.THINKING) == f"[[{thought}]] The answer is 42."


def test_t1_a_template_that_throws_thoughts_away_never_sees_the_trace(models: Path) -> None:
    assert laid_text(renderer(models, "qwen"), tiny.THINKING) == tiny.THINKING


def test_t4_no_thought_is_laid_behind_a_closed_one() -> None:
    source = tiny.CHATML.removesuffix("{% endif %}") + "<think>\n\n</think>\n\n{% endif %}"
    closed = with_template(source)
    assert closed.contract.closed
    with pytest.raises(ClosedThinking, match='no switch that opens one; `thinking = "none"`'):
        laid_text(closed, tiny.THINKING)
    assert laid_text(closed, "It is 42.") == "It is 42."
    answered = with_template(source, thinking="none")
    assert laid_text(answered, tiny.THINKING).endswith("\n\nThe answer is 42."), "the advice works"


def test_an_answer_without_a_thought_closes_the_one_that_the_prompt_opened(models: Path) -> None:
    text = "The answer is 42."
    assert laid_text(renderer(models, "llama"), text) == "\n</think>\n\n" + text
    assert laid_text(renderer(models, "qwen"), text) == text


def test_t8_the_clock_is_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    source = "{{ strftime_now('%Y-%m-%d') }}{% for m in messages %}{{ m.content }}{% endfor %}"
    before = with_template(source)
    early = before.prompt_ids(tiny.problem())

    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Later:
            return cls(2031, 5, 6)

    monkeypatch.setattr(datetime, "datetime", Later)
    after = with_template(source)
    assert early == before.prompt_ids(tiny.problem()) == after.prompt_ids(tiny.problem())
    assert before.contract.digest == after.contract.digest


def test_t6_t9_template_and_system_prompt_are_part_of_the_contract(models: Path) -> None:
    digests = {
        renderer(models, "qwen").contract.digest,
        renderer(models, "qwen", system="Be brief.").contract.digest,
        renderer(models, "qwen", system="").contract.digest,
        renderer(models, "plain").contract.digest,
        renderer(models, "plain", thinking="none").contract.digest,
    }
    assert len(digests) == 5


def test_t10_one_bos_at_most(models: Path) -> None:
    llama = renderer(models, "llama")
    bos = llama.vocabulary.id_of("<s>")
    assert llama.prompt_ids(tiny.problem()).count(bos or 0) == 1
    qwen = renderer(models, "qwen")
    assert all(token_id is not None for token_id in qwen.prompt_ids(tiny.problem()))


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


def test_imports_name_their_delimiters() -> None:
    sky = (
        "<|begin_of_thought|>\n\nSo.\n\n<|end_of_thought|>\n\n"
        "<|begin_of_solution|>\n42\n<|end_of_solution|>"
    )
    zones = named_delimiters("<|begin_of_thought|>").zones(sky)
    assert [sky[zone.start : zone.stop] for zone in zones if zone.kind is not ZoneKind.TAG] == [
        "So.",
        "42",
    ]
    zones = named_delimiters("<reasoning>").zones("<reasoning>So.</reasoning>42")
    assert [zone.kind.value for zone in zones] == ["tag", "thought", "tag", "answer"]
    with pytest.raises(ValueError, match="not known: either one of"):
        named_delimiters("thinking")


def test_templates_cannot_reach_the_machine() -> None:
    hostile = "{{ messages.__class__.__mro__[1].__subclasses__() }}"
    with pytest.raises(Exception, match="unsafe"):
        templates.Template(hostile, {}).render([{"role": "user", "content": "x"}], True)
