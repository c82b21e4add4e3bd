"""A model's chat template: rendering it, and reading from it where a thought goes.

Templates are programs written by others. They run in Jinja's immutable sandbox with a frozen clock,
in a process with limits (`template_process.py`), and what they do is found out by rendering probes,
never by a model's name. A probe whose marker does not stand once in the rendering is an error:
whatever would be read from such a rendering is about another text.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rdpt_core.models.rendering import template_process
from rdpt_core.models.rendering.template_process import TemplateFault, TemplateRefused

PROBLEM, SYSTEM, THOUGHT, ANSWER = "Zqproblem", "Zqsystem", "Zqthought", "Zqanswer"
OPENING = re.compile(r"[<\[\u25c1]([\w:]*(?:think|thought|reason)[\w:]*)[>\]\u25b7]\s*$", re.I)
"""A bracketed word of thinking at the end of a prompt."""
GIVEN = frozenset({"messages", "add_generation_prompt"})
"""Variables that rendering itself sets, besides the names of control tokens."""

Message = dict[str, str]


class Probed(NamedTuple):
    """What rendering showed. `opened`: the prompt ends with the opening delimiter."""

    open: str
    close: str
    opened: bool


class BadProbe(ValueError):
    """A rendering does not show once what it was given."""

    def __init__(self, what: str, times: int = 0) -> None:
        said = f"with {what} {times} times" if times else f"without {what}"
        super().__init__(
            f"it renders a conversation {said}, as a string and as a list of parts: give the model "
            "the chat template that belongs to it"
        )


class Template:
    """One chat template with the named control tokens that it may print, and the variables that
    the model's entry sets."""

    def __init__(
        self, source: str, special: Mapping[str, str], variables: Mapping[str, Any] | None = None
    ) -> None:
        self.digest = hashlib.sha256(source.encode()).hexdigest()[:32]
        self.variables = dict(variables or {})
        self._source, self._special = source, dict(special)
        self._parts: bool | None = None

    def with_variables(self, variables: Mapping[str, Any]) -> Template:
        return Template(self._source, self._special, variables)

    def render(self, messages: Sequence[Message], generation: bool) -> str:
        """Raises TemplateRefused for a conversation that the template refuses, TemplateFault where
        it breaks or exceeds its limits, BadProbe where it shows no problem at all."""
        if self._parts is None:
            self._parts = self._needs_parts()
        return self._render(messages, generation, self._parts)

    def read_variables(self) -> frozenset[str]:
        """Variables that the template reads and the model's entry may set."""
        names, _ = template_process.variables_of(self._source)
        return frozenset(name for name in names - GIVEN if not name.endswith("_token"))

    def unset_variables(self) -> list[str]:
        """Variables that the template reads and nobody set, the template itself included."""
        _, own = template_process.variables_of(self._source)
        return sorted(self.read_variables() - own - self.variables.keys())

    def _render(self, messages: Sequence[Message], generation: bool, parts: bool) -> str:
        said = [
            message | {"content": [{"type": "text", "text": message["content"]}]}
            if parts
            else message
            for message in map(dict, messages)
        ]
        fixed = {"messages": said, "add_generation_prompt": generation}
        return template_process.render(
            self._source, json.dumps(self._special | self.variables | fixed)
        )

    def _needs_parts(self) -> bool:
        """Templates of multimodal models read a content as a list of parts; given a string, some
        go through its characters and print none of them."""
        question = conversation(PROBLEM, None)
        if PROBLEM in self._render(question, generation=True, parts=False):
            return False
        try:
            if PROBLEM in self._render(question, generation=True, parts=True):
                return True
        except (TemplateRefused, TemplateFault):  # it takes strings, and prints none
            pass
        raise BadProbe("its problem")


def read_template(
    folder: Path, special: Mapping[str, str], variables: Mapping[str, Any] | None = None
) -> Template | None:
    """The template of a local model folder; of several, the default one. Raises ValueError where
    there are several and none is the default."""
    source = _source(folder)
    return Template(source, special, variables) if source else None


def _source(folder: Path) -> str | None:
    """In transformers' order; `chat_template.json` is what processors wrote before."""
    path = folder / "chat_template.jinja"
    if path.exists():
        return path.read_text(encoding="utf-8")
    for name in ("tokenizer_config.json", "chat_template.json"):
        path = folder / name
        found = json.loads(path.read_text()).get("chat_template") if path.exists() else None
        if isinstance(found, list):
            found = _default(path, {item["name"]: item["template"] for item in found})
        if found:
            return str(found)
    return None


def _default(path: Path, named: Mapping[str, str]) -> str:
    if "default" not in named:
        raise ValueError(
            f"{path.name} has the chat templates {', '.join(sorted(named))}, and none is named "
            "default: write the one to use to chat_template.jinja"
        )
    return named["default"]


def conversation(problem: str, system: str | None) -> list[Message]:
    first = [] if system is None else [{"role": "system", "content": system}]
    return [*first, {"role": "user", "content": problem}]


def probe_prompt(template: Template, system: str | None) -> str:
    """What stands between a problem and the model's own text."""
    rendered = template.render(conversation(PROBLEM, system), generation=True)
    if rendered.count(PROBLEM) != 1:
        raise BadProbe("its problem", rendered.count(PROBLEM))
    return rendered.rpartition(PROBLEM)[2]


def reads_system(template: Template) -> bool:
    """True if a system prompt is rendered."""
    return SYSTEM in template.render(conversation(PROBLEM, SYSTEM), generation=True)


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
    """What the template writes after an answer; empty where it refuses to render one."""
    return _render_turn(template, system, ANSWER).rpartition(ANSWER)[2]


def _closing(opening: str) -> str:
    tag = opening.strip()
    return f"\n{tag[0]}/{tag[1:]}\n\n"


def _strips_thoughts(template: Template, system: str | None) -> bool:
    content = f"<think>\n{THOUGHT}\n</think>\n\n{ANSWER}"
    full = _render_turn(template, system, content)
    return bool(full) and THOUGHT not in full


def _render_turn(
    template: Template, system: str | None, content: str, thought: str | None = None
) -> str:
    """A whole turn; the thought under each name that templates read. Empty if it is refused.

    Raises BadProbe where it is rendered without its answer, or with several.
    """
    turn = {"role": "assistant", "content": content}
    if thought is not None:
        turn |= dict.fromkeys(("reasoning_content", "thinking", "reasoning"), thought)
    try:
        full = template.render([*conversation(PROBLEM, system), turn], generation=False)
    except TemplateRefused:
        return ""
    if full.count(ANSWER) != 1:
        raise BadProbe("the model's answer", full.count(ANSWER))
    return full
