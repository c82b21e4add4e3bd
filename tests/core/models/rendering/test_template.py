"""Chat templates are programs of strangers: what they may cost, and what is believed of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
import pytest

from rdpt_core.models.rendering.contract import ClosedThinking
from rdpt_core.models.rendering.render import Renderer, read_renderer
from rdpt_core.models.rendering.template import Template, read_template
from rdpt_core.models.rendering.template_process import TemplateFault, TemplateRefused
from rdpt_core.models.spec import ModelSpec
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


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "takes more than 5 s to render",
        ),
        ("{% for i in range(10**9) %}{% endfor %}", "Range too big"),
        ("{{ 'a' * 10**12 }}", "too much memory"),
        (
            "{% set n = 30000000 %}{{ 'a' * n }}",
            "renders 30,000,009 characters, and 16,000,000 are allowed",
        ),
        ("{{ 'x' | center(10**11) }}", "too much memory"),
        (
            "{% set n = namespace(x='aaaaaaaa') %}{% for i in range(60) %}"
            "{% set n.x = n.x ~ n.x %}{% endfor %}",
            "too much memory",
        ),
        ("{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}", "too much memory"),
    ],
)
def test_x1_a_template_that_loops_or_multiplies_is_stopped_and_the_next_one_renders(
    source: str, rule: str
) -> None:
    with pytest.raises(TemplateFault, match=rule):
        Template(PLAIN + source, {}).render(QUESTION, generation=True)
    assert Template(PLAIN, {}).render(QUESTION, generation=True) == "How many?"


def test_x1_a_template_that_breaks_on_one_problem_names_the_model_and_the_rule() -> None:
    source = PLAIN + "{% if 'bomb' in messages[0].content %}{{ 'a' * 10**12 }}{% endif %}"
    of = with_template(source)
    assert prompt(of) == "How many?"
    with pytest.raises(ValueError, match="the chat template of x: needs too much memory"):
        prompt(of, "a bomb")


def test_x6_the_process_that_renders_has_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    from rdpt_core.models.rendering.template_process import _PROCESS

    monkeypatch.setenv("HF_TOKEN", "canary")
    _PROCESS.stop()
    _PROCESS.ask({"source": "", "values": {}})
    assert _PROCESS._child is not None
    assert b"canary" not in Path(f"/proc/{_PROCESS._child.pid}/environ").read_bytes()


def test_the_process_that_renders_finds_packages_where_rdpt_finds_them(
    tmp_path: Path, root: Path
) -> None:
    """Also where they are installed for one user, or named by PYTHONPATH alone."""
    for package in (
        Path(jinja2.__file__).parent,
        Path(markupsafe.__file__).parent,
        root / "rdpt_core",
    ):
        (tmp_path / package.name).symlink_to(package)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    code = """
from rdpt_core.models.rendering.template_process import render
print(render("{{ 1 + 1 }}", "{}"))
"""
    done = subprocess.run(
        [tmp_path / "bare/bin/python", "-c", code],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "2\n", done.stderr


def test_threads_and_forked_processes_render_too() -> None:
    template = Template(PLAIN, {})
    found: dict[int, str] = {}

    def render(number: int) -> None:
        messages = [{"role": "user", "content": f"problem {number}"}]
        found[number] = template.render(messages, generation=True)

    threads = [threading.Thread(target=render, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: f"problem {number}" for number in range(20)}
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = int(template.render([{"role": "user", "content": "x"}], True) != "x")
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


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
