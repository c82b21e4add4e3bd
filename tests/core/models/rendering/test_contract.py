"""The contract of a model: delimiters, system prompt, beginning and end of a turn."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rdpt_core.models.rendering.contract import ClosedThinking, UndeclaredThinking
from rdpt_core.models.rendering.render import read_renderer
from rdpt_core.models.spec import ModelSpec
from tests.core.models import tiny
from tests.core.models.rendering.render_cases import laid_text, with_template
from tests.core.models.rendering.test_render import renderer
from tests.core.models.rendering.test_template import CLOSES, THINK


def test_t2_where_the_opening_tag_stands_is_read_by_rendering(models: Path) -> None:
    qwen, llama = renderer(models, "qwen").contract, renderer(models, "llama").contract
    assert (qwen.think_open, qwen.open, qwen.close) == ("trace", "<think>\n", "\n</think>\n\n")
    assert (llama.think_open, llama.open, llama.close) == ("prompt", "<think>\n", "\n</think>\n\n")


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


def test_t4_no_thought_is_laid_behind_a_closed_one() -> None:
    source = tiny.CHATML.removesuffix("{% endif %}") + "<think>\n\n</think>\n\n{% endif %}"
    closed = with_template(source)
    assert closed.contract.closed
    with pytest.raises(ClosedThinking, match='no switch that opens one; `thinking = "none"`'):
        laid_text(closed, tiny.THINKING)
    assert laid_text(closed, "It is 42.") == "It is 42."
    answered = with_template(source, thinking="none")
    assert laid_text(answered, tiny.THINKING).endswith("\n\nThe answer is 42."), "the advice works"


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


@pytest.mark.parametrize("fields", [{}, {"template": {"thinking": False}}])
def test_the_advice_of_a_closed_prompt_works(fields: dict[str, Any]) -> None:
    closed = with_template(CLOSES, THINK, **fields)
    with pytest.raises(ClosedThinking, match=r"set `template = \{thinking = true\}` in its entry"):
        closed.require_thinking()
    with_template(CLOSES, THINK, template={"thinking": True}).require_thinking()


def test_the_advice_names_the_switch_that_qwen_reads() -> None:
    source = re.sub(r"\bthinking\b", "enable_thinking", CLOSES)
    with pytest.raises(ClosedThinking, match="set `think = true` in its entry"):
        with_template(source, THINK, think=False).require_thinking()
    with_template(source, THINK, think=True).require_thinking()


def test_a_variable_that_the_template_does_not_read_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no variable 'thinkin'; did you mean thinking\?"):
        with_template(CLOSES, THINK, template={"thinkin": True})


@pytest.mark.parametrize("fields", [{"template": {"x": 1}}, {"system": "S"}])
def test_what_only_a_template_reads_is_refused_without_one(
    models: Path, fields: dict[str, Any]
) -> None:
    folder = models / "untold"
    folder.mkdir(exist_ok=True)
    (folder / "tokenizer.json").write_bytes((models / "qwen" / "tokenizer.json").read_bytes())
    with pytest.raises(ValueError, match="untold has no chat template, so nothing would read"):
        read_renderer(ModelSpec.model_validate({"path": "untold", **fields}), folder)
