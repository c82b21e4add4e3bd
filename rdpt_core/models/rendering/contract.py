"""The contract between rdpt and one model: what decides the ids that it reads.

It is read from the model's files and its entry in the experiment, once, and hashed. Where a thought
goes is found by rendering the template, or declared; it is never guessed from a name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

from rdpt_core.models.rendering.template import (
    Template,
    probe_answer,
    probe_end,
    probe_prompt,
    probe_thinking,
    reads_system,
)
from rdpt_core.models.rendering.template_worker import CLOCK
from rdpt_core.models.rendering.vocabulary import Vocabulary
from rdpt_core.models.spec import ModelSpec, Thinking
from rdpt_core.tables import ids
from rdpt_core.tables.recipe import Rule, plain_without_unset
from rdpt_core.tables.spelling import hint
from rdpt_core.text.delimiters import Delimiters

Opener = Literal["prompt", "trace"]
"""Who writes the opening delimiter of a thought."""


class Unobeyed(ValueError):
    """A setting of a model's entry that nothing would read."""


class UndeclaredThinking(ValueError):
    """A thought is to be laid for a model that has no delimiters."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} has no thinking delimiters of its own, and a thought must be laid for it: "
            "declare them in its entry, either\n"
            '    thinking = {open = "<think>\\n", close = "\\n</think>\\n\\n"}\n'
            "or, for thought, blank line, answer,\n"
            '    thinking = "none"'
        )


class ClosedThinking(UndeclaredThinking):
    """A thought is to be laid behind one that the model's prompt has closed."""

    def __init__(self, path: str, switches: Sequence[str]) -> None:
        """`switches` are settings under which the prompt leaves the thought open."""
        way_out = " or ".join(f"`{switch}`" for switch in switches)
        ValueError.__init__(
            self,
            f"the prompt of {path} ends with a closed thought, so none can follow: "
            + (
                f"set {way_out} in its entry"
                if switches
                else 'its template has no switch that opens one; `thinking = "none"` in its entry '
                "makes the thought part of the answer"
            ),
        )


class Contract(Rule):
    """All that decides the ids which a model reads for a problem and a trace."""

    template: str | None
    """Digest of the chat template; None where the prompt is the problem's plain text."""
    vocabulary: str
    num_ids: int
    """Ids of the tokenizer; wider weights are cut to it before the softmax."""
    system: str | None
    think: bool | None = None
    """The thinking mode that the template is asked for; None asks for none."""
    variables: str | None = None
    """JSON of the other variables that the template is given; None where there are none."""
    date: str = CLOCK.date().isoformat()
    bos: Literal["template", "tokenizer"]
    """Who writes the first token: the template's text, or the tokenizer before plain text."""
    think_open: Opener | None
    """Where the opening delimiter stands; None where thinking is undeclared."""
    open: str = ""
    close: str = ""
    answer_open: str = ""
    """What opens an answer that no thought precedes, where channels have headers (gpt-oss)."""
    closed: bool = False
    """The prompt itself ends a thought (thinking switched off): no thought can follow it."""
    fresh: bool
    """The prompt ends with a control token: SentencePiece begins what follows with its blank."""
    end: int | None
    """The id that ends the model's turn."""

    @property
    def digest(self) -> str:
        fields = plain_without_unset(self, "variables")
        return ids.digest("contract", json.dumps(fields, sort_keys=True))

    @property
    def delimiters(self) -> Delimiters:
        """Tags by which the texts of this model are parsed."""
        header = self.answer_open.strip()
        tag = "" if self.open == self.answer_open else self.open.strip()
        return Delimiters(open=tag, close=self.close.strip(), answer_open=header)


def read_contract(spec: ModelSpec, vocabulary: Vocabulary, template: Template | None) -> Contract:
    """The contract that a model's files and its entry amount to.

    Raises Unobeyed for a setting that the template does not read, ValueError for a template whose
    probes show nothing.
    """
    if spec.api != "chat":  # there the server's own template decides
        _check_obeyed(spec, template)
    prompt = "" if template is None else probe_prompt(template, spec.system)
    found = _find_thinking(spec, vocabulary, template, prompt)
    open_, close, where = ("", "", None) if found is None else found
    header = "" if template is None else probe_answer(template, spec.system)
    if spec.thinking == "none":
        open_ = header  # thought and answer are one content
    given = spec.template.values
    return Contract(
        template=None if template is None else template.digest,
        vocabulary=vocabulary.digest,
        num_ids=vocabulary.size,
        system=spec.system,
        think=spec.think,
        variables=json.dumps(given, sort_keys=True) if given else None,
        bos="tokenizer" if template is None else "template",
        think_open=where,
        open=open_,
        close=close,
        answer_open=header,
        fresh=any(map(vocabulary.stands_apart, vocabulary.parse(prompt)[-1:])),
        closed=bool(close.strip()) and close.strip() in prompt,
        end=_find_end(spec, vocabulary, template),
    )


def _check_obeyed(spec: ModelSpec, template: Template | None) -> None:
    """Raises Unobeyed for what the entry sets and the template does not read. `think` is a wish
    that many templates have no answer to: `rdpt doctor` says so."""
    given = list(spec.template.values)
    if template is None:
        for name in [*given, *(["system"] if spec.system is not None else [])]:
            raise Unobeyed(
                f"{spec.path} has no chat template, so nothing would read `{name}`: leave it out "
                "of the model's entry, or give the model its template"
            )
        return
    if spec.system and not reads_system(template):
        raise Unobeyed(
            f"the chat template of {spec.path} renders no system prompt: leave `system` out of the "
            "model's entry"
        )
    known = template.read_variables() if given else frozenset()
    for name in given:
        if name not in known:
            raise Unobeyed(
                f"the chat template of {spec.path} reads no variable {name!r}; {hint(name, known)}"
                f"it reads: {', '.join(sorted(known)) or 'none'}"
            )


_Thinking = tuple[str, str, Opener]


def _find_thinking(
    spec: ModelSpec, vocabulary: Vocabulary, template: Template | None, prompt: str
) -> _Thinking | None:
    if spec.thinking == "none":
        return "", "\n\n", "trace"
    if isinstance(spec.thinking, Thinking):
        tag = spec.thinking.open.strip()
        opened = bool(tag) and prompt.rstrip().endswith(tag)
        return spec.thinking.open, spec.thinking.close, "prompt" if opened else "trace"
    probed = None if template is None else probe_thinking(template, spec.system)
    if probed is not None:
        return probed.open, probed.close, "prompt" if probed.opened else "trace"
    if {"<think>", "</think>"} <= vocabulary.added:
        return "<think>\n", "\n</think>\n\n", "trace"
    return None


def _find_end(spec: ModelSpec, vocabulary: Vocabulary, template: Template | None) -> int | None:
    """The added token that the template writes after an answer, else the tokenizer's own end."""
    written = "" if template is None else probe_end(template, spec.system)
    for token_id in vocabulary.parse(written):
        if vocabulary.stands_apart(token_id):
            return token_id
    return vocabulary.id_of(vocabulary.special.get("eos_token"))
