"""One row of an import: its problem, and one trace or several.

Everything that a column was pointed at goes into the row, or into its notes as missing or not
understood; a row that contradicts itself is refused with a reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rdpt_core.files.records import Values
from rdpt_core.sources.account import ValueNotes
from rdpt_core.sources.companion import Companion
from rdpt_core.sources.finish import finish_reason
from rdpt_core.sources.naming import TraceColumns
from rdpt_core.sources.problems import conversation, make_problem
from rdpt_core.sources.turns import read_turns
from rdpt_core.sources.values import unpacked, value_at
from rdpt_core.tables import ids
from rdpt_core.tables.rows import FinishReason, Origin, Problem, Trace, ZoneKind
from rdpt_core.text.delimiters import KNOWN, Delimiters


@dataclass(frozen=True, slots=True)
class ImportedTrace:
    """A trace whose number among its like is not yet known, and what else its row says of it."""

    trace: Trace
    origin: Origin | None

    def numbered(self, trace_id: str, sample_index: int) -> ImportedTrace:
        trace = replace(self.trace, trace_id=trace_id, sample_index=sample_index)
        return ImportedTrace(trace, self.origin and replace(self.origin, trace_id=trace_id))


@dataclass(frozen=True, slots=True)
class TraceRow:
    """A usable row."""

    problem: Problem
    imported: tuple[ImportedTrace, ...]
    without: str | None
    """Which of its traces could not be used, and why."""


class _Reply(NamedTuple):
    """One text of a row and what stands in parallel to it; None where a value is missing."""

    text: Any
    thought: Any
    system: Any
    model: Any
    id: Any
    finish: Any
    correct: Any
    num_tokens: Any
    token_ids: Any
    logprobs: Any


_SHARED = ("system", "model", "id")
"""Roles of which one value may stand for all traces of a row."""
_OWN = ("thought", "finish", "correct", "num_tokens", "token_ids", "logprobs")


class TraceReader:
    """Turns the values of a row into problem and traces."""

    def __init__(
        self,
        label: str,
        split: str,
        columns: TraceColumns,
        tags: Delimiters,
        companion: Companion | None = None,
    ) -> None:
        self.label, self.split, self.columns = label, split, columns
        self.tags, self.companion = tags, companion

    def row(self, values: Values, notes: ValueNotes) -> TraceRow:
        """Raises ValueError, saying why, for a row that cannot be used."""
        problem = make_problem(values, self.columns, self.label, self.split, notes)
        replies = self._replies(values)
        imported, faults = [], []
        for number, reply in enumerate(replies, start=1):
            own = ValueNotes()
            try:
                imported.append(self._imported(reply, problem.problem_id, own))
                notes.entries += own.entries
            except ValueError as error:
                if len(replies) == 1:
                    raise
                notes.rejected("trace", *_SHARED, *_OWN)
                faults.append(f"trace {number}: {error}")
        if not imported:
            raise ValueError(faults[0] if faults else f"no trace in {self.columns.trace!r}")
        note = f"used, without {'; '.join(faults)}" if faults else None
        return TraceRow(problem, tuple(imported), note)

    # ------------------------------------------------------------------ what stands in the row

    def _replies(self, values: Values) -> list[_Reply]:
        column = self.columns.trace
        value = value_at(values, column)
        turns, is_whole = conversation(value), column == self.columns.problem
        if turns is not None:
            return [self._reply_of(turns, values, is_whole)]
        if is_whole:
            raise ValueError(f"no conversation in {column!r}")
        is_list = isinstance(value, list)
        texts = value if is_list else [value]
        parallel = {
            role: self._spread(values, role, len(texts), is_list) for role in (*_SHARED, *_OWN)
        }
        system = self._system(values)
        parallel["system"] = [given or system for given in parallel["system"]]
        return [
            _Reply(text, **{role: parallel[role][number] for role in parallel})
            for number, text in enumerate(texts)
        ]

    def _reply_of(self, turns: list[Any], values: Values, is_whole: bool) -> _Reply:
        """The reply of a conversation, which brings its own thought and system turn."""
        read = read_turns(turns, has_question=is_whole)
        if read.trace is None:
            raise ValueError(f"no reply in {self.columns.trace!r}")
        given = {role: self._spread(values, role, 1, False)[0] for role in (*_SHARED, *_OWN)}
        given["thought"] = given["thought"] if read.thought is None else read.thought
        given["system"] = read.system or self._system(values) or given["system"]
        return _Reply(read.trace, **given)

    def _system(self, values: Values) -> str | None:
        """The system turn of a problem that is a list of messages."""
        name = self.columns.problem
        turns = conversation(value_at(values, name)) if isinstance(name, str) else None
        return read_turns(turns).system if turns else None

    def _spread(self, values: Values, role: str, num: int, is_list: bool) -> list[Any]:
        """A role's value for each of the row's traces. Raises ValueError for another number."""
        column: str | None = getattr(self.columns, role)
        value = value_at(values, column)
        if value is None or (role in _SHARED and not isinstance(value, list)):
            return [value] * num
        if role in ("token_ids", "logprobs"):
            value = unpacked(value)
        if not is_list:
            alone = role == "thought" and isinstance(value, list) and len(value) == 1
            return list(value) if alone else [value]
        if not isinstance(value, list) or len(value) != num:
            size = len(value) if isinstance(value, list) else "no list"
            raise ValueError(f"{size} in {column!r} for {num} in {self.columns.trace!r}")
        return list(value)

    # ------------------------------------------------------------------ one trace

    def _imported(self, reply: _Reply, problem_id: str, notes: ValueNotes) -> ImportedTrace:
        text = self._text(reply, notes)
        token_ids, logprobs = self._tokens(reply, notes)
        author = str(reply.model or self.label)
        finish = _finish(reply.finish, notes)
        for role in ("model", "id"):
            notes.used(role, getattr(reply, role))
        trace = Trace(
            trace_id=ids.imported_trace_id(problem_id, author, text, 0),
            problem_id=problem_id,
            author=author,
            sample_index=0,
            text=text,
            zones=self.tags.zones(text),
            finish_reason=finish,
            num_tokens=None if token_ids is None else len(token_ids),
            token_ids=token_ids,
            logprobs=logprobs,
            sampled_logprobs=None,
            seed=None,
            source_id=None if reply.id is None else str(reply.id),
        )
        self._note_thought(trace, notes)
        return ImportedTrace(trace, _origin(trace, reply, notes))

    def _text(self, reply: _Reply, notes: ValueNotes) -> str:
        """The reply, with a thought that stood apart between the delimiters."""
        text, thought = reply.text, reply.thought
        if thought is not None and not isinstance(thought, str):
            raise ValueError(f"the thought in {self.columns.thought!r} is not text")
        if not isinstance(text, str) and not (text is None and thought):
            raise ValueError(f"no text in {self.columns.trace!r}")
        notes.used("trace", text or thought or "")
        if not thought or not thought.strip():
            return text or ""
        return self._joined(text or "", thought)

    def _joined(self, text: str, thought: str) -> str:
        tags = self.tags
        if not tags.open:
            raise ValueError("a thought apart from its answer, and no delimiters to join them by")
        if any(tag and tag in text for tag in (tags.open, tags.close)):
            if thought.strip() in text:
                return text  # the set has it twice
            raise ValueError("a thought apart from its answer, which has another thought inside")
        if not text:
            return f"{tags.open}\n{thought}"  # it was cut while it thought
        answer = text
        if tags.answer_open and tags.answer_open not in text:
            answer = f"{tags.answer_open}\n{text}\n{tags.answer_close}"
        return f"{tags.open}\n{thought}\n{tags.close}\n\n{answer}"

    def _note_thought(self, trace: Trace, notes: ValueNotes) -> None:
        """A text with the tags of another convention has a thought that is taken for its answer."""
        if any(zone.kind is ZoneKind.THOUGHT for zone in trace.zones):
            notes.used("thought", trace.text)
            return
        closes = {
            name: tags.close
            for name, tags in KNOWN.items()
            if tags.open not in ("", self.tags.open)
        }
        other = next((name for name, close in closes.items() if close in trace.text), None)
        if other is not None:
            notes.odd("thought", f"{other}, while the delimiters are {self.tags.open or 'none'}")
        else:
            notes.used("thought", None)

    def _tokens(
        self, reply: _Reply, notes: ValueNotes
    ) -> tuple[NDArray[np.int32] | None, NDArray[np.float32] | None]:
        found_ids, found_logprobs = reply.token_ids, reply.logprobs
        if self.companion and found_ids is None and reply.id is not None:
            found_ids, found_logprobs = self.companion.tokens(reply.id)
        token_ids = _ints(found_ids)
        logprobs = _logprobs(found_logprobs, token_ids)
        notes.used("token_ids", found_ids)
        notes.used("logprobs", found_logprobs)
        return token_ids, logprobs


def _finish(value: Any, notes: ValueNotes) -> FinishReason:
    reason = finish_reason(value)
    if reason is None:
        notes.odd("finish", value)
        return FinishReason.UNKNOWN
    notes.used("finish", None if reason is FinishReason.UNKNOWN else value)
    return reason


def _origin(trace: Trace, reply: _Reply, notes: ValueNotes) -> Origin | None:
    given = reply.system or None
    system = _noted("system", given, given if isinstance(given, str) else None, notes)
    finish = None if reply.finish is None else str(reply.finish)
    correct = _noted("correct", reply.correct, _truth(reply.correct), notes)
    num_tokens = _noted("num_tokens", reply.num_tokens, _count(reply.num_tokens), notes)
    if system is None and finish is None and correct is None and num_tokens is None:
        return None
    return Origin(trace.trace_id, system, finish, correct, num_tokens)


def _noted(role: str, value: Any, read: Any, notes: ValueNotes) -> Any:
    """Notes what became of a value that was read as `read`."""
    if value is not None and read is None:
        notes.odd(role, value)
    else:
        notes.used(role, value)
    return read


_TRUTHS = {"true": True, "false": False}


def _truth(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return _TRUTHS.get(value.strip().lower()) if isinstance(value, str) else None


def _count(value: Any) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) < 19:
        return int(value)
    is_count = type(value) is int and 0 <= value < 2**63
    return value if is_count else None


def _ints(value: Any) -> NDArray[np.int32] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(type(item) is int for item in value):
        raise ValueError("the token ids are not a list of integers")
    if value and not 0 <= min(value) <= max(value) < 2**31:
        raise ValueError("a token id is negative or above 2^31")
    return np.array(value, np.int32)


_LOWEST = float(np.finfo(np.float32).min)
_ROUNDED_UP = 1e-6
"""A certain token's log-probability, as some servers write it down."""


def _logprobs(value: Any, token_ids: NDArray[np.int32] | None) -> NDArray[np.float32] | None:
    if value is None:
        return None
    if token_ids is None:
        raise ValueError("log-probabilities without token ids cannot be placed")
    if not isinstance(value, list) or not all(type(item) in (int, float) for item in value):
        raise ValueError("the log-probabilities are not a list of numbers")
    if len(value) != len(token_ids):
        raise ValueError(f"{len(value)} log-probabilities for {len(token_ids)} token ids")
    if not all(_LOWEST <= item <= _ROUNDED_UP for item in value):
        raise ValueError("a log-probability is not finite or above 0")
    return np.minimum(np.array(value, np.float32), 0)
