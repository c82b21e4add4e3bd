"""How families of models lay a turn, on small templates that are built as theirs are.

Traps are named as in docs/scoring.md.
"""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rdpt_core.models.rendering.render import Renderer
from rdpt_core.tables.rows import FinishReason, Trace, ZoneKind
from tests.core.models import tiny
from tests.core.models.rendering.render_cases import CHAT, laid_text, with_template

HARMONY = """{{ "<|start|>system<|message|>Today: " + strftime_now("%Y-%m-%d") + "<|end|>" }}\
{% for m in messages %}{% if m.role == "assistant" %}\
{% if m.thinking %}\
<|start|>assistant<|channel|>analysis<|message|>{{ m.thinking }}<|end|>{% endif %}\
<|start|>assistant<|channel|>final<|message|>{{ m.content }}<|return|>\
{% else %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endif %}{% endfor %}\
{% if add_generation_prompt %}<|start|>assistant{% endif %}"""
"""A channel has a header of its own, and the prompt ends before it."""
CONTROL = ["<|start|>", "<|message|>", "<|channel|>", "<|end|>", "<|return|>", "<|im_end|>"]
ANALYSIS, FINAL = "<|channel|>analysis<|message|>", "<|channel|>final<|message|>"
CLOSE = f"<|end|><|start|>assistant{FINAL}"

LLAMA_3 = """{{ bos_token }}{% if date_string is not defined %}\
{% set date_string = strftime_now("%d %b %Y") %}{% endif %}\
{% if messages[0].role == "system" %}{% set said = messages[0].content | trim %}\
{% set messages = messages[1:] %}{% else %}{% set said = "" %}{% endif %}\
<|start_header_id|>system<|end_header_id|>

Today Date: {{ date_string }}

{{ said }}<|eot_id|>{% for m in messages %}\
<|start_header_id|>{{ m.role }}<|end_header_id|>

{{ m.content | trim }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}\
<|start_header_id|>assistant<|end_header_id|>

{% endif %}"""
"""Headers between two control tokens, and a date that is today's where none is given."""
HEADERS = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]

ANSWERS_ONLY = """{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
"""Whatever else a message has is passed over without a word."""


def harmony(**fields: Any) -> Renderer:
    return with_template(HARMONY, CONTROL, **fields)


def test_t5_a_thought_is_part_of_the_text_and_no_field_that_a_template_may_ignore() -> None:
    of = with_template(ANSWERS_ONLY, thinking={"open": "<t>", "close": "</t>"})
    whole = tiny.trace(tiny.THINKING, tiny.problem(), FinishReason.STOP)
    expected = "<t>First I add 12 and 30.\n12 + 30 = 42.</t>The answer is 42."
    assert laid_text(of, tiny.THINKING) == expected
    assert of.turn(whole) == expected
    joined = b"".join(whole.text.encode()[zone.start : zone.stop] for zone in whole.zones)
    assert joined.decode() == tiny.THINKING


def test_t7_channels_have_headers_for_a_thought_and_for_an_answer_alone() -> None:
    of = harmony()
    found = of.contract
    assert (found.think_open, found.open, found.close) == ("trace", ANALYSIS, CLOSE)
    assert found.end == of.vocabulary.id_of("<|return|>")
    assert laid_text(of, "<think>So.</think>42") == f"{ANALYSIS}So.{CLOSE}42"
    assert laid_text(of, "42") == f"{FINAL}42"
    assert laid_text(of, "<think></think>42") == f"{FINAL}42"
    assert of.turn(tiny.trace("42", tiny.problem())) == f"{FINAL}42"


def test_t7_thought_and_answer_as_one_content_are_in_the_channel_of_the_answer() -> None:
    of = harmony(thinking="none")
    assert laid_text(of, "<think>So.</think>42") == f"{FINAL}So.\n\n42"
    assert laid_text(of, "42") == f"{FINAL}42"
    assert [zone.kind.value for zone in of.zones(f"{FINAL}So.\n\n42")] == ["tag", "answer"]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (f"{ANALYSIS} So. \n{CLOSE}\n42 <|end|>", ["tag", "thought", "tag", "answer"]),
        (f"{FINAL}42", ["tag", "answer"]),
        (f"{ANALYSIS}So", ["tag", "thought"]),
    ],
)
def test_t7_what_a_model_of_channels_writes_is_parsed_and_laid_back(
    text: str, kinds: list[str]
) -> None:
    of = harmony()
    ids = of.vocabulary.parse(text)
    layout = of.lay(tiny.problem(), sampled(of, text, ids), sampled=True)
    assert [piece.kind.value for piece in layout.pieces] == kinds
    assert (layout.retokenized, layout.completion_ids) == (False, ids)
    assert sum(piece.num_bytes for piece in layout.pieces) == len(text)


def sampled(of: Renderer, text: str, ids: list[int]) -> Trace:
    made = tiny.trace(text, tiny.problem(), FinishReason.LENGTH)
    return replace(made, token_ids=np.array(ids, np.int32), zones=of.zones(text))


def test_t8_t10_llama_3_has_one_bos_a_frozen_date_and_its_own_end_of_turn() -> None:
    of = with_template(LLAMA_3, HEADERS, bos=HEADERS[0], system="Be brief. ")
    prompt = of.vocabulary.join(of.prompt_ids(tiny.problem("Q?"))).decode()
    header = "<|start_header_id|>{}<|end_header_id|>\n\n".format
    assert prompt == (
        f"<|begin_of_text|>{header('system')}Today Date: 01 Jan 2025\n\nBe brief.<|eot_id|>"
        f"{header('user')}Q?<|eot_id|>{header('assistant')}"
    )
    assert of.contract.end == of.vocabulary.id_of("<|eot_id|>")
    assert of.contract.think_open is None
    assert datetime.date.today().strftime("%d %b %Y") not in prompt


def test_t12_prompt_and_text_are_encoded_apart() -> None:
    """A blank ends this prompt: encoded together with the text it would be part of a word."""
    tail = "{% if add_generation_prompt %}[A] {% endif %}"
    of = with_template("{% for m in messages %}{{ m.content }}{% endfor %}" + tail)
    trace = tiny.trace("answer is 42.", tiny.problem())
    prompt = of.prompt_ids(tiny.problem())
    layout = of.lay(tiny.problem(), trace)
    together = of.vocabulary.parse(of.vocabulary.join(layout.input_ids).decode())
    assert together[: len(prompt)] != prompt, "the fixture must merge them"
    assert layout.input_ids == prompt + of.vocabulary.encode(trace.text)
    assert of.example(tiny.problem(), trace).input_ids[: len(prompt)] == prompt
    assert of.merges(tiny.problem(), trace)
    assert not of.merges(tiny.problem(), tiny.trace("42", tiny.problem()))
    assert not of.merges(tiny.problem(), tiny.trace("", tiny.problem()))


def test_t12_what_is_laid_first_is_what_may_merge() -> None:
    """The author's own tag is a gap; a delimiter of the reader's stands between."""
    tail = "{% if add_generation_prompt %}[A] {% endif %}"
    template = "{% for m in messages %}{{ m.content }}{% endfor %}" + tail
    trace = tiny.trace("<think>answer is 42.</think>42", tiny.problem())
    none = with_template(template, thinking="none")
    assert none.merges(tiny.problem(), trace)
    tags = with_template(
        template,
        [*CHAT, "<think>", "</think>"],
        thinking={"open": "<think>\n", "close": "\n</think>\n\n"},
    )
    assert not tags.merges(tiny.problem(), trace)


@pytest.mark.parametrize(
    "text", ["<think>\n\n So. \n\n\n</think>\n 42 ", " <think>So.</think>42\n"]
)
def test_t33b_bytes_at_the_seams_are_those_that_were_written(text: str) -> None:
    """Nothing is put together from thought and answer: the sampled ids are laid as they are, and a
    reader with other tags has the bytes of thought and answer as they were."""
    of = with_template(tiny.CHATML, [*CHAT, "<think>", "</think>"])
    ids = of.vocabulary.parse(text)
    own = sampled(of, text, ids)
    assert (
        of.vocabulary.join(of.lay(tiny.problem(), own, sampled=True).completion_ids)
        == text.encode()
    )
    other = harmony().lay(tiny.problem(), own)
    for zone, piece in zip(
        [zone for zone in own.zones if zone.kind is not ZoneKind.TAG],
        [piece for piece in other.pieces if piece.kind is not ZoneKind.TAG],
        strict=True,
    ):
        assert harmony().vocabulary.join(piece.token_ids) == text.encode()[zone.start : zone.stop]
