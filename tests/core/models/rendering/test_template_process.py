"""Templates are programs of others: they run in a process with limits."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import threading
from pathlib import Path

import jinja2
import markupsafe
import pytest

from rdpt_core.models.rendering import template as templates
from rdpt_core.models.rendering.template import Template
from rdpt_core.models.rendering.template_process import _PROCESS, TemplateFault
from tests.core.models import tiny
from tests.core.models.rendering.render_cases import with_template
from tests.core.models.rendering.test_template import PLAIN, QUESTION


@pytest.mark.fault("F29")
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


@pytest.mark.fault("X1")
def test_templates_cannot_reach_the_machine() -> None:
    hostile = "{{ messages.__class__.__mro__[1].__subclasses__() }}"
    with pytest.raises(Exception, match="unsafe"):
        templates.Template(hostile, {}).render([{"role": "user", "content": "x"}], True)


@pytest.mark.fault("X1")
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


@pytest.mark.fault("X6")
def test_x6_the_process_that_renders_has_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
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
