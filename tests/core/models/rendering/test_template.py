"""Chat templates are programs of strangers: what they may cost, and what is believed of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rdpt_core.models.rendering.render import Renderer
from rdpt_core.models.rendering.template import Template, read_template
from rdpt_core.models.rendering.template_process import TemplateRefused
from tests.core.models import tiny
from tests.core.models.rendering.render_cases import CHAT, laid_text, with_template

QUESTION = [{"role": "user", "content": "How many?"}]
PLAIN = "{% for m in messages %}{{ m.content }}{% endfor %}"
CLOSES = """{% if not thinking is defined %}{% set thinking = false %}{% endif %}\
{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content.split('</think>')[-1] }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if thinking %}<think>{% else %}</think>{% endif %}{% endif %}"""
"""Thinks where `thinking` is true, and is silent about `enable_thinking`."""
PARTS = """{% for m in messages %}<|im_start|>{{ m.role }}
{% for c in m.content %}{% if c.type == 'text' %}{{ c.text }}{% endif %}{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
"""Reads a content as a list of parts, and prints nothing of a string."""
THINK = [*CHAT, "<think>", "</think>"]


def prompt(of: Renderer, text: str = "How many?") -> str:
    return of.vocabulary.join(of.prompt_ids(tiny.problem(text))).decode()


# ---------------------------------------------------------------------------- limits


def test_x1_a_template_that_breaks_on_one_problem_names_the_model_and_the_rule() -> None:
    source = PLAIN + "{% if 'bomb' in messages[0].content %}{{ 'a' * 10**12 }}{% endif %}"
    of = with_template(source)
    assert prompt(of) == "How many?"
    with pytest.raises(ValueError, match="the chat template of x: needs too much memory"):
        prompt(of, "a bomb")


# ---------------------------------------------------------------------------- markers


def test_t46_a_template_that_reads_parts_is_given_parts() -> None:
    of = with_template(PARTS)
    assert prompt(of) == "<|im_start|>user\nHow many?<|im_end|>\n<|im_start|>assistant\n"
    assert of.contract.end == of.vocabulary.id_of("<|im_end|>")
    assert prompt(with_template(PARTS, system="Be brief.")).startswith(
        "<|im_start|>system\nBe brief.<|im_end|>"
    )


def test_t46_a_template_that_drops_the_problem_is_an_error() -> None:
    with pytest.raises(ValueError, match="without its problem, as a string and as a list"):
        with_template("<|im_start|>user<|im_end|><|im_start|>assistant")


def test_t46_a_template_that_drops_the_answer_is_an_error_and_teaches_no_end() -> None:
    first = "<|im_start|>{{ messages[0].content }}<|im_end|>"
    with pytest.raises(ValueError, match="without the model's answer"):
        with_template(first)


def test_t46_a_template_that_drops_the_system_prompt_is_an_error_where_there_is_one() -> None:
    source = "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}"
    assert prompt(with_template(source)) == "How many?"
    with pytest.raises(ValueError, match="of x renders no system prompt: leave `system` out"):
        with_template(source, system="Be brief.")


def test_no_end_of_turn_is_read_from_a_template_that_refuses_an_answer() -> None:
    refusing = (
        PLAIN + "{% if messages[-1].role == 'assistant' %}{{ raise_exception('no') }}{% endif %}"
    )
    assert with_template(refusing).contract.end is None, "this tokenizer names none"
    with pytest.raises(TemplateRefused, match="no"):
        Template(refusing, {}).render([*QUESTION, {"role": "assistant", "content": "42"}], False)


def test_t46_a_template_that_shows_the_problem_or_the_answer_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="with its problem 2 times"):
        with_template("{% for m in messages %}{{ m.content }}|{{ m.content }}{% endfor %}")
    twice = PLAIN + "{% if messages[-1].role == 'assistant' %}{{ messages[-1].content }}{% endif %}"
    with pytest.raises(ValueError, match="with the model's answer 2 times"):
        with_template(twice)


# ---------------------------------------------------------------------------- variables


def test_variables_of_an_entry_reach_the_template_the_contract_and_what_is_laid() -> None:
    closed = with_template(CLOSES, THINK)
    thinks = with_template(CLOSES, THINK, template={"thinking": True})
    assert prompt(closed).endswith("assistant\n</think>")
    assert prompt(thinks).endswith("assistant\n<think>")
    assert (closed.contract.closed, thinks.contract.closed) == (True, False)
    assert closed.contract.digest != thinks.contract.digest
    assert laid_text(thinks, "<think>So.</think>42").startswith("So.")


def test_variables_that_nobody_set_are_known() -> None:
    source = CLOSES + "{% set own = 1 %}{{ own }}{{ strftime_now('%Y') }}{{ bos_token }}{{ date }}"
    source += "{% if date %}{% set late = 1 %}{% endif %}{{ late }}"
    template = Template(source, {}, {"date": "today"})
    assert template.unset_variables() == ["thinking"]


# ---------------------------------------------------------------------------- files


def test_every_file_that_may_hold_the_template_is_read(tmp_path: Path) -> None:
    def template() -> str | None:
        found = read_template(tmp_path, {})
        return None if found is None else found.render(QUESTION, generation=True)

    assert template() is None
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": PLAIN + "1"}))
    assert template() == "How many?1"
    config = tmp_path / "tokenizer_config.json"
    named = [{"name": "tool_use", "template": PLAIN + "2"}]
    config.write_text(json.dumps({"chat_template": named}))
    with pytest.raises(ValueError, match="templates tool_use, and none is named default"):
        template()
    named.append({"name": "default", "template": PLAIN + "3"})
    config.write_text(json.dumps({"chat_template": named}))
    assert template() == "How many?3"
    (tmp_path / "chat_template.jinja").write_text(PLAIN + "4")
    assert template() == "How many?4"
