"""Rendering: how one model is shown a problem and a trace, as its contract says.

Scoring, fine-tuning and evaluation lay a trace through the same contract, and its digest is part of
what they make. The prompt comes from the model's own template and is tokenised apart from what
follows it; a trace is never put through a template, which may rewrite it. Its thought and its
answer are each encoded in one piece, as text, and laid between the delimiters of the model that
reads them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from rdpt_core.models.rendering.contract import (
    ClosedThinking,
    Contract,
    UndeclaredThinking,
    Unobeyed,
    read_contract,
)
from rdpt_core.models.rendering.layout import Layout, Piece, RenderedExample, map_sampled
from rdpt_core.models.rendering.template import (
    PROBLEM,
    Template,
    conversation,
    probe_prompt,
    read_template,
)
from rdpt_core.models.rendering.template_process import TemplateFault, TemplateRefused
from rdpt_core.models.rendering.tokenizer_files import read_vocabulary
from rdpt_core.models.rendering.vocabulary import Vocabulary
from rdpt_core.models.spec import ModelSpec
from rdpt_core.tables.rows import FinishReason, Problem, Trace, Zone, ZoneKind

SEAM = 32
"""Tokens and characters beside the edge of prompt and text that say whether the two would merge."""


class NotVerbatim(ValueError):
    """The ids of a piece do not decode to its bytes."""


@dataclass(frozen=True)
class Renderer:
    """A contract with the tokenizer and template that carry it out."""

    contract: Contract
    vocabulary: Vocabulary
    template: Template | None
    path: str
    """Path of the model, for messages only."""

    def require_thinking(self) -> None:
        """Raises UndeclaredThinking unless a thought can be rendered for this model."""
        if self.contract.closed:
            raise ClosedThinking(self.path, self._opening_switches())
        if self.contract.think_open is None:
            raise UndeclaredThinking(self.path)

    def _opening_switches(self) -> list[str]:
        """Settings of the model's entry, found by rendering, under which a thought can follow."""
        if self.template is None:
            return []
        found = []
        for name in sorted(self.template.read_variables()):
            other = self.template.with_variables(self.template.variables | {name: True})
            with suppress(ValueError):
                if self.contract.close.strip() not in probe_prompt(other, self.contract.system):
                    is_think = name == "enable_thinking"
                    found.append("think = true" if is_think else f"template = {{{name} = true}}")
        return found

    def prompt_ids(self, problem: Problem) -> list[int]:
        """Ids up to where the model's own text begins. Raises ValueError where the template
        renders no prompt."""
        if self.template is None:
            if not self.vocabulary.holds_control(problem.prompt):
                return self.vocabulary.parse(problem.prompt, add_special=True)
            first = self.vocabulary.parse("", add_special=True)
            return [*first, *self.vocabulary.encode(problem.prompt, start=True)]
        if not self.vocabulary.holds_control(problem.prompt):
            return self.vocabulary.parse(self._prompt(self.template, problem.prompt))
        # The problem speaks of control tokens: they must stay text, so it is encoded apart.
        before, _, after = self._prompt(self.template, PROBLEM).partition(PROBLEM)
        inside = self.vocabulary.encode(problem.prompt)
        return [*self.vocabulary.parse(before), *inside, *self.vocabulary.parse(after)]

    def _prompt(self, template: Template, text: str) -> str:
        try:
            return template.render(conversation(text, self.contract.system), generation=True)
        except (TemplateRefused, TemplateFault) as error:
            raise ValueError(f"the chat template of {self.path}: {error}") from error

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

    def resampled(self, trace: Trace) -> bool | None:
        """True if the tokenizer encodes the text to other ids than those that were sampled;
        None where the ids are not known, or are not the text.

        A model writes some words in pieces that its tokenizer would not choose. Its own
        log-probabilities are those of the ids that it wrote; any other model is scored on the
        tokenizer's.
        """
        if trace.token_ids is None:
            return None
        given = [int(token_id) for token_id in trace.token_ids]
        body, _ = _split_end(given, trace.finish_reason)
        if body and self.vocabulary.stands_apart(body[-1]):  # an end of turn that nobody told of
            body = body[:-1]
        for ids in (given, body):
            if self.vocabulary.lengths(ids, trace.text.encode()) is not None:
                return ids != self.vocabulary.parse(trace.text)
        return None

    def merges(self, problem: Problem, trace: Trace) -> bool:
        """True if prompt and text, encoded as one, would share a token (T12).

        They are encoded apart, as they are when the model writes. Raises ValueError for what
        cannot be rendered at all.
        """
        first = next((item for item in self._in_order(trace) if _lays(item)), None)
        if not isinstance(first, Zone):
            return False  # a delimiter stands between them, or there is no text
        ids = self.prompt_ids(problem)
        control = [at for at, token_id in enumerate(ids) if self.vocabulary.stands_apart(token_id)]
        plain = ids[max(control, default=-1) + 1 :][-SEAM:]
        before = self.vocabulary.join(plain).decode(errors="ignore")
        text = self._as_text(first, trace.text.encode())
        laid = self.vocabulary.encode(before + text[:SEAM])
        edges = accumulate(len(self.vocabulary.bytes_of(token_id)) for token_id in laid)
        return bool(before) and len(before.encode()) not in edges

    def lay_alone(self, problem: Problem, trace: Trace) -> Layout:
        """The whole text in one piece after the prompt: no delimiters, no end of turn.

        Raises NotVerbatim where the tokenizer cannot cover the text.
        """
        raw = trace.text.encode()
        laid = self.vocabulary.encode_alone(trace.text)
        lengths = self.vocabulary.lengths_alone(laid, raw)
        if lengths is None:
            raise NotVerbatim(f"the tokenizer of {self.path} cannot cover the text exactly")
        piece = Piece(ZoneKind.ANSWER, tuple(laid), len(raw), tuple(lengths))
        verbatim = len(self.vocabulary.join(laid)) >= len(raw)
        prompt = tuple(self.prompt_ids(problem))
        return Layout(prompt, (piece,), (), retokenized=True, verbatim=verbatim)

    def example(self, problem: Problem, trace: Trace) -> RenderedExample:
        """The row that fine-tuning reads: the loss falls on all that follows the prompt.

        A trace of unknown ending is taught to end; one that was cut off is not.
        """
        ends = (FinishReason.STOP, FinishReason.UNKNOWN)
        layout = self.lay(problem, trace, ends=ends)
        completion = layout.completion_ids
        mask = [0] * len(layout.prompt_ids) + [1] * len(completion)
        return RenderedExample([*layout.prompt_ids, *completion], mask)

    def turn(self, trace: Trace) -> str:
        """The model's whole turn as text, as `example` teaches it, without the end of turn.

        An opening delimiter that the template writes into the prompt belongs to it here: other
        trainers put a turn through a template that adds none.
        """
        raw = trace.text.encode()
        opened = self.contract.open if self.contract.think_open == "prompt" else ""
        laid = (self._as_text(item, raw) for item in self._in_order(trace))
        return opened + "".join(laid)

    def _as_text(self, item: Zone | str, raw: bytes) -> str:
        if isinstance(item, str):
            return item
        return "" if item.kind is ZoneKind.TAG else raw[item.start : item.stop].decode()

    def _encode(self, trace: Trace) -> list[Piece]:
        """Thought and answer as text between this model's delimiters, the trace's tags as gaps."""
        pieces: list[Piece] = []
        raw = trace.text.encode()
        for item in self._in_order(trace):
            start = self.contract.fresh and not pieces
            if isinstance(item, Zone):
                pieces.append(self._piece(item, raw, start))
            else:
                pieces += self._delimiter(item, start)
        return pieces

    def _in_order(self, trace: Trace) -> Iterator[Zone | str]:
        """The trace's zones, with this model's own delimiters where they belong."""
        inside = begun = self.contract.think_open == "prompt"
        before = None
        for zone in trace.zones:
            if zone.kind is ZoneKind.THOUGHT and not inside:
                self.require_thinking()
                yield self.contract.open
                inside = True
            elif inside and (zone.kind is ZoneKind.ANSWER or before is ZoneKind.THOUGHT):
                yield self.contract.close
                inside = False
            elif zone.kind is ZoneKind.ANSWER and not begun:
                yield self.contract.answer_open
            yield zone
            before = zone.kind
            begun = begun or before is not ZoneKind.TAG

    def _delimiter(self, text: str, start: bool) -> list[Piece]:
        if not text:
            return []
        # A delimiter of control tokens is parsed; one of plain text gets no dummy blank inside.
        parsed = self.vocabulary.holds_control(text)  # other added tokens are read by both
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


def _lays(item: Zone | str) -> bool:
    """True if the item is rendered: the author's own tag is not, it is a gap."""
    if isinstance(item, str):
        return bool(item)
    return item.kind is not ZoneKind.TAG and item.stop > item.start


def _split_end(given: list[int], reason: FinishReason) -> tuple[list[int], list[int]]:
    return (given[:-1], given[-1:]) if reason is FinishReason.STOP else (given, [])


def make_renderer(spec: ModelSpec, vocabulary: Vocabulary, template: Template | None) -> Renderer:
    contract = read_contract(spec, vocabulary, template)
    own = vocabulary.guarding((contract.open, contract.close, contract.answer_open))
    return Renderer(contract, own, template, spec.path)


def read_renderer(spec: ModelSpec, folder: Path) -> Renderer:
    """The renderer of a local model folder; needs its tokenizer files only, no weights.

    Raises ValueError where one of them cannot be read.
    """
    with _named(f"the tokenizer of {folder}"):
        vocabulary = read_vocabulary(folder, spec.gguf)
    with _named(f"the chat template of {folder}"):
        template = read_template(folder, vocabulary.special, spec.variables)
        return make_renderer(spec, vocabulary, template)


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Whatever is raised inside as a ValueError: tokenizers raises bare exceptions, and a template
    is a program of somebody's, run here on a probe."""
    try:
        yield
    except (ConnectionError, MemoryError, Unobeyed):
        raise
    except Exception as error:
        why = " ".join(str(error).split())
        raise ValueError(
            f"{what} cannot be used ({type(error).__name__}: {why}): correct or replace it"
        ) from error
