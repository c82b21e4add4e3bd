"""The render contract: how one model is shown a problem and a trace.

Scoring, fine-tuning and evaluation lay a trace through the same contract, and its digest is part of
what they make. The prompt comes from the model's own template and is tokenised apart from what
follows it; a trace is never put through a template, which may rewrite it. Its thought and its
answer are each encoded in one piece, as text, and laid between the delimiters of the model that
reads them.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from rdpt_core import ids
from rdpt_core.models.delimiters import Delimiters
from rdpt_core.models.spec import ModelSpec, Thinking
from rdpt_core.models.template import (
    CLOCK,
    PROBLEM,
    Template,
    conversation,
    probe_end,
    probe_thinking,
    read_template,
)
from rdpt_core.models.vocabulary import Vocabulary, read_vocabulary
from rdpt_core.recipe import Rule, plain
from rdpt_core.rows import FinishReason, Problem, Trace, Zone, ZoneKind


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


class Contract(Rule):
    """All that decides the ids which a model reads for a problem and a trace."""

    template: str | None
    """Digest of the chat template; None where the prompt is the problem's plain text."""
    vocabulary: str
    num_ids: int
    """Ids of the tokenizer; wider weights are cut to it before the softmax."""
    system: str | None
    date: str = CLOCK.date().isoformat()
    bos: Literal["template", "tokenizer"]
    """Who writes the first token: the template's text, or the tokenizer before plain text."""
    think_open: Literal["prompt", "trace"] | None
    """Where the opening delimiter stands; None where thinking is undeclared."""
    open: str = ""
    close: str = ""
    closed: bool = False
    """The prompt itself ends a thought (thinking switched off): no thought can follow it."""
    fresh: bool
    """The prompt ends with a control token: SentencePiece begins what follows with its blank."""
    end: int | None
    """The id that ends the model's turn."""

    @property
    def digest(self) -> str:
        return ids.digest("contract", json.dumps(plain(self), sort_keys=True))

    @property
    def delimiters(self) -> Delimiters:
        """Tags by which the texts of this model are parsed."""
        return Delimiters(open=self.open.strip(), close=self.close.strip())


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of ids laid for a model.

    A tag's ids are the reading model's delimiter (none where it is the author's alone), its
    `num_bytes` the bytes of the trace's own tag (0 where the trace has none there).
    """

    kind: ZoneKind
    token_ids: tuple[int, ...]
    num_bytes: int
    lengths: tuple[int, ...] = ()
    """Bytes of the trace per id, text pieces only; they sum to `num_bytes`."""


class Example(NamedTuple):
    """A row to fine-tune on; parallel lists, the mask 1 where the loss is taken."""

    input_ids: list[int]
    completion_mask: list[int]


@dataclass(frozen=True, slots=True)
class Layout:
    """A trace as one model reads it: prompt, pieces, end of turn."""

    prompt_ids: tuple[int, ...]
    pieces: tuple[Piece, ...]
    end_ids: tuple[int, ...]
    retokenized: bool

    @property
    def completion_ids(self) -> list[int]:
        laid = [token_id for piece in self.pieces for token_id in piece.token_ids]
        return [*laid, *self.end_ids]

    @property
    def input_ids(self) -> list[int]:
        return [*self.prompt_ids, *self.completion_ids]


class NotVerbatim(ValueError):
    """The ids of a piece do not decode to its bytes."""


@dataclass(frozen=True)
class Renderer:
    """A contract with the tokenizer and template that carry it out."""

    contract: Contract
    vocabulary: Vocabulary
    template: Template | None
    path: str
    """Of the model, for messages only."""

    def require_thinking(self) -> None:
        """Raises UndeclaredThinking unless a thought can be laid for this model."""
        if self.contract.think_open is None or self.contract.closed:
            raise UndeclaredThinking(self.path)

    def prompt_ids(self, problem: Problem) -> list[int]:
        """Ids up to where the model's own text begins."""
        if self.template is None:
            return self.vocabulary.parse(problem.prompt, add_special=True)
        if not self.vocabulary.holds_control(problem.prompt):
            return self.vocabulary.parse(self._prompt(self.template, problem.prompt))
        # The problem speaks of control tokens: they must stay text, so it is encoded apart.
        before, _, after = self._prompt(self.template, PROBLEM).partition(PROBLEM)
        inside = self.vocabulary.encode(problem.prompt)
        return [*self.vocabulary.parse(before), *inside, *self.vocabulary.parse(after)]

    def _prompt(self, template: Template, text: str) -> str:
        return template.render(conversation(text, self.contract.system), generation=True)

    def zones(self, text: str) -> tuple[Zone, ...]:
        """Zones of a text that this model wrote after its prompt."""
        opened = self.contract.think_open == "prompt"
        return self.contract.delimiters.zones(text, opened)

    def lay(
        self,
        problem: Problem,
        trace: Trace,
        sampled: bool = False,
        ends: Collection[FinishReason] = (FinishReason.STOP,),
    ) -> Layout:
        """The trace as this model reads it.

        `sampled` says that this model wrote the trace: its ids are then laid as they were sampled,
        where they are the text. The end of turn follows where the trace's ending is in `ends`.
        Raises UndeclaredThinking, or NotVerbatim where the tokenizer cannot cover the text.
        """
        prompt = tuple(self.prompt_ids(problem))
        end = () if self.contract.end is None else (self.contract.end,)
        end = end if trace.finish_reason in ends else ()
        if sampled and trace.token_ids is not None:
            given = [int(token_id) for token_id in trace.token_ids]
            body, stop = _split_end(given, trace.finish_reason)
            pieces = map_sampled(body, trace, self.vocabulary)
            if pieces is not None:
                return Layout(prompt, pieces, tuple(stop) if end else (), retokenized=False)
        return Layout(prompt, tuple(self._encode(trace)), end, retokenized=True)

    def example(self, problem: Problem, trace: Trace) -> Example:
        """The row that fine-tuning reads: the loss falls on all that follows the prompt.

        A trace of unknown ending is taught to end; one that was cut off is not.
        """
        ends = (FinishReason.STOP, FinishReason.UNKNOWN)
        layout = self.lay(problem, trace, ends=ends)
        completion = layout.completion_ids
        mask = [0] * len(layout.prompt_ids) + [1] * len(completion)
        return Example([*layout.prompt_ids, *completion], mask)

    def _encode(self, trace: Trace) -> list[Piece]:
        """Thought and answer as text between this model's delimiters, the trace's tags as gaps."""
        pieces: list[Piece] = []
        inside = self.contract.think_open == "prompt"
        for zone in trace.zones:
            written = bool(pieces) and pieces[-1].kind is ZoneKind.THOUGHT
            if zone.kind is ZoneKind.THOUGHT and not inside:
                self.require_thinking()
                pieces += self._delimiter(self.contract.open, self._fresh(pieces))
                inside = True
            elif inside and (zone.kind is ZoneKind.ANSWER or written):
                pieces += self._delimiter(self.contract.close, self._fresh(pieces))
                inside = False
            pieces.append(self._piece(zone, trace.text.encode(), self._fresh(pieces)))
        return pieces

    def _fresh(self, pieces: list[Piece]) -> bool:
        return self.contract.fresh and not pieces

    def _delimiter(self, text: str, start: bool) -> list[Piece]:
        if not text:
            return []
        # A delimiter of control tokens is parsed; one of plain text gets no dummy blank inside.
        parsed = self.vocabulary.holds_control(text)
        laid = self.vocabulary.parse(text) if parsed else self.vocabulary.encode(text, start)
        return [Piece(ZoneKind.TAG, tuple(laid), 0)]

    def _piece(self, zone: Zone, raw: bytes, start: bool) -> Piece:
        part = raw[zone.start : zone.stop]
        if zone.kind is ZoneKind.TAG:
            return Piece(ZoneKind.TAG, (), len(part))
        laid = self.vocabulary.encode(part.decode(), start)
        lengths = self.vocabulary.lengths(laid, part)
        if lengths is None:
            laid = self.vocabulary.encode(part.decode())
            lengths = self.vocabulary.lengths(laid, part)
        if lengths is None:
            raise NotVerbatim(f"the tokenizer of {self.path} cannot cover bytes {zone} exactly")
        return Piece(zone.kind, tuple(laid), len(part), tuple(lengths))


def map_sampled(body: list[int], trace: Trace, vocabulary: Vocabulary) -> tuple[Piece, ...] | None:
    """Sampled ids cut at the zones of their text, or None where they do not map.

    One kind of straddling is allowed: a token such as ".\\n" that ends a thought and begins the
    white space of the tag behind it. It belongs to the thought, with the bytes that it has there.
    """
    raw, zones = trace.text.encode(), trace.zones
    lengths = vocabulary.lengths(body, raw)
    if lengths is None or not zones:
        return None if body else ()
    held: list[list[tuple[int, int]]] = [[] for _ in zones]
    at = index = 0
    for token_id, length in zip(body, lengths, strict=True):
        while index + 1 < len(zones) and at >= zones[index].stop:
            index += 1
        stop = zones[index].stop
        if at + length > stop:
            behind = zones[index + 1]
            text_first = zones[index].kind is not ZoneKind.TAG and behind.kind is ZoneKind.TAG
            if not text_first or at + length > behind.stop or raw[stop : at + length].strip():
                return None
        held[index].append((token_id, min(length, stop - at)))
        at += length
    return tuple(_sampled_piece(zone, pairs) for zone, pairs in zip(zones, held, strict=True))


def _sampled_piece(zone: Zone, pairs: list[tuple[int, int]]) -> Piece:
    laid = tuple(token_id for token_id, _ in pairs)
    lengths = () if zone.kind is ZoneKind.TAG else tuple(length for _, length in pairs)
    return Piece(zone.kind, laid, zone.stop - zone.start, lengths)


def _split_end(given: list[int], reason: FinishReason) -> tuple[list[int], list[int]]:
    return (given[:-1], given[-1:]) if reason is FinishReason.STOP else (given, [])


def make_renderer(spec: ModelSpec, vocabulary: Vocabulary, template: Template | None) -> Renderer:
    """The contract that a model's files and its entry amount to."""
    prompt = "" if template is None else _probe_prompt(template, spec.system)
    found = _find_thinking(spec, vocabulary, template, prompt)
    open_, close, where = ("", "", None) if found is None else found
    contract = Contract(
        template=None if template is None else template.digest,
        vocabulary=vocabulary.digest,
        num_ids=vocabulary.size,
        system=spec.system,
        bos="tokenizer" if template is None else "template",
        think_open=where,
        open=open_,
        close=close,
        fresh=any(map(vocabulary.is_control, vocabulary.parse(prompt)[-1:])),
        closed=bool(close.strip()) and close.strip() in prompt,
        end=_find_end(spec, vocabulary, template),
    )
    return Renderer(contract, vocabulary, template, spec.path)


def _probe_prompt(template: Template, system: str | None) -> str:
    """What stands between a problem and the model's own text."""
    rendered = template.render(conversation(PROBLEM, system), generation=True)
    return rendered.rpartition(PROBLEM)[2]


_Thinking = tuple[str, str, Literal["prompt", "trace"]]


def _find_thinking(
    spec: ModelSpec, vocabulary: Vocabulary, template: Template | None, prompt: str
) -> _Thinking | None:
    if spec.thinking == "none":
        return "", "\n\n", "trace"
    if isinstance(spec.thinking, Thinking):
        opened = prompt.rstrip().endswith(spec.thinking.open.strip()) and bool(prompt)
        return spec.thinking.open, spec.thinking.close, "prompt" if opened else "trace"
    probed = None if template is None else probe_thinking(template, spec.system)
    if probed is not None:
        return probed.open, probed.close, "prompt" if probed.opened else "trace"
    if {"<think>", "</think>"} <= vocabulary.added:
        return "<think>\n", "\n</think>\n\n", "trace"
    return None


def _find_end(spec: ModelSpec, vocabulary: Vocabulary, template: Template | None) -> int | None:
    """The control token that the template writes after an answer, else the tokenizer's own."""
    written = "" if template is None else probe_end(template, spec.system)
    for token_id in vocabulary.parse(written):
        if vocabulary.is_control(token_id):
            return token_id
    return vocabulary.id_of(vocabulary.special.get("eos_token"))


def read_renderer(spec: ModelSpec, folder: Path) -> Renderer:
    """The renderer of a local model folder; needs its tokenizer files only, no weights."""
    vocabulary = read_vocabulary(folder)
    return make_renderer(spec, vocabulary, read_template(folder, vocabulary.special))
