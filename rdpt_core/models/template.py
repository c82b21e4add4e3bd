"""A model's chat template: rendering it, and reading from it where a thought goes.

Templates are programs written by others. They run in Jinja's immutable sandbox with a frozen clock,
and what they do is found out by rendering probes, never by a model's name.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

CLOCK = datetime.datetime(2025, 1, 1, 12, 0, 0)
"""What "today" is for every template, so that prompts do not drift from day to day."""

PROBLEM, THOUGHT, ANSWER = "Zqproblem", "Zqthought", "Zqanswer"
OPENING = re.compile(r"[<\[\u25c1]([\w:]*(?:think|thought|reason)[\w:]*)[>\]\u25b7]\s*$", re.I)
"""A bracketed word of thinking at the end of a prompt."""

Message = dict[str, str]


class Probed(NamedTuple):
    """What rendering showed. `opened`: the prompt ends with the opening delimiter."""

    open: str
    close: str
    opened: bool


class Template:
    """One compiled chat template with the named control tokens that it may print."""

    def __init__(self, source: str, special: dict[str, str], think: bool | None = None) -> None:
        """`think` is what the template sees as `enable_thinking`; None leaves it undefined."""
        self.digest = hashlib.sha256(source.encode()).hexdigest()[:32]
        self._special = special
        self._mode = {} if think is None else {"enable_thinking": think}
        self._compiled = _environment().from_string(source)

    def render(self, messages: Sequence[Message], generation: bool) -> str:
        """Raises jinja2.TemplateError for a conversation that the template refuses."""
        return self._compiled.render(
            messages=[dict(message) for message in messages],
            add_generation_prompt=generation,
            **self._special,
            **self._mode,
        )


def read_template(
    folder: Path, special: dict[str, str], think: bool | None = None
) -> Template | None:
    """The template of a local model folder; of several, the default one."""
    path = folder / "chat_template.jinja"
    if path.exists():
        return Template(path.read_text(encoding="utf-8"), special, think)
    config = folder / "tokenizer_config.json"
    found = json.loads(config.read_text()).get("chat_template") if config.exists() else None
    if isinstance(found, list):
        found = {item["name"]: item["template"] for item in found}.get("default")
    return Template(found, special, think) if found else None


def conversation(problem: str, system: str | None) -> list[Message]:
    first = [] if system is None else [{"role": "system", "content": system}]
    return [*first, {"role": "user", "content": problem}]


def probe_thinking(template: Template, system: str | None) -> Probed | None:
    """The delimiters that a template shows; None where it shows none."""
    prompt = template.render(conversation(PROBLEM, system), generation=True)
    tail = OPENING.search(prompt)
    full = _render_turn(template, system, ANSWER, THOUGHT)
    if full.count(THOUGHT) == 1 and ANSWER in full.partition(THOUGHT)[2]:
        head, _, rest = full.partition(THOUGHT)
        close = rest.partition(ANSWER)[0]
        if tail:
            return Probed(tail.group(), close, opened=True)
        if head.startswith(prompt) and len(head) > len(prompt):
            return Probed(head[len(prompt) :], close, opened=False)
    if tail:
        return Probed(tail.group(), _closing(tail.group()), opened=True)
    if _strips_thoughts(template, system):
        return Probed("<think>\n", _closing("<think>"), opened=False)
    return None


def probe_answer(template: Template, system: str | None) -> str:
    """What opens an answer, with a thought before it or without: the header of a channel. Empty
    where the answer follows the prompt, or where the template puts an empty thought before it."""
    prompt = template.render(conversation(PROBLEM, system), generation=True)
    head = _render_turn(template, system, ANSWER).rpartition(ANSWER)[0]
    probed = probe_thinking(template, system)
    header = head.removeprefix(prompt) if head.startswith(prompt) else ""
    return header if probed is not None and probed.close.endswith(header) else ""


def probe_end(template: Template, system: str | None) -> str:
    """What the template writes after an answer; empty where it writes nothing."""
    return _render_turn(template, system, ANSWER).rpartition(ANSWER)[2]


def _closing(opening: str) -> str:
    tag = opening.strip()
    return f"\n{tag[0]}/{tag[1:]}\n\n"


def _strips_thoughts(template: Template, system: str | None) -> bool:
    content = f"<think>\n{THOUGHT}\n</think>\n\n{ANSWER}"
    full = _render_turn(template, system, content)
    return ANSWER in full and THOUGHT not in full


def _render_turn(
    template: Template, system: str | None, content: str, thought: str | None = None
) -> str:
    """A whole turn; the thought under each name that templates read. Empty if it is refused."""
    turn = {"role": "assistant", "content": content}
    if thought is not None:
        turn |= dict.fromkeys(("reasoning_content", "thinking", "reasoning"), thought)
    try:
        return template.render([*conversation(PROBLEM, system), turn], generation=False)
    except TemplateError:
        return ""


class _Generation(Extension):
    """`{% generation %}` marks what trainers mask; for rendering it is nothing."""

    tags = {"generation"}  # noqa: RUF012 (declared so by Jinja)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = CLOCK.strftime
    return environment


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> None:
    raise TemplateError(message)
