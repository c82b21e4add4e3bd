"""Rendering: how one model is shown a problem and a trace, as its contract says.

Scoring, fine-tuning and evaluation lay a trace through the same contract, and its digest is part of
what they make. The prompt comes from the model's own template and is tokenised apart from what
follows it; a trace is never put through a template, which may rewrite it. Its thought and its
answer are each encoded in one piece, as text, and laid between the delimiters of the model that
reads them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from rdpt_core.models.contract import Contract, UndeclaredThinking, read_contract
from rdpt_core.models.layout import Example, Layout, Piece, map_sampled
from rdpt_core.models.spec import ModelSpec
from rdpt_core.models.template import PROBLEM, Template, conversation, read_template
from rdpt_core.models.vocabulary import Vocabulary, read_vocabulary
from rdpt_core.rows import FinishReason, Problem, Trace, Zone, ZoneKind


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


def _split_end(given: list[int], reason: FinishReason) -> tuple[list[int], list[int]]:
    return (given[:-1], given[-1:]) if reason is FinishReason.STOP else (given, [])


def make_renderer(spec: ModelSpec, vocabulary: Vocabulary, template: Template | None) -> Renderer:
    return Renderer(read_contract(spec, vocabulary, template), vocabulary, template, spec.path)


def read_renderer(spec: ModelSpec, folder: Path) -> Renderer:
    """The renderer of a local model folder; needs its tokenizer files only, no weights."""
    vocabulary = read_vocabulary(folder)
    return make_renderer(spec, vocabulary, read_template(folder, vocabulary.special))
