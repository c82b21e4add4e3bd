"""Which column holds what: as declared, or by the names under which sets are published.

A role is found by name, in an order that is part of what rdpt promises: a row that has both a gold
answer and an answer means the first. So the public sets are read unasked: conversations, Alpaca,
verl, OpenR1, OpenThoughts, AceReason, Superior-Reasoning, NeMo, s1K, LIMO, and benchmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from pydantic import Field

from rdpt_core.files.records import BadTable, SourceRows, Values
from rdpt_core.sources.turns import THOUGHTS
from rdpt_core.sources.values import value_at
from rdpt_core.tables.recipe import Rule
from rdpt_core.tables.spelling import nearest


class ProblemColumns(Rule):
    """Which column holds what, where the well-known names do not fit.

    A name may be a path into nested values, such as `reward_model.ground_truth`. A column that
    holds conversations is read by the roles of their turns.
    """

    problem: str | tuple[str, ...] | None = Field(default=None, min_length=1)
    """Several columns, such as an instruction and its input, are joined by an empty line."""
    answer: str | None = None
    id: str | None = None
    """The source's own id; two different problems under one id are refused."""
    domain: str | None = None


class TraceColumns(ProblemColumns):
    """The columns of problems, and those of a trace. `id` is the trace's.

    Where `trace` holds a list, one row is as many candidates, and the columns from `thought` on
    hold lists of the same length.
    """

    trace: str | None = None
    model: str | None = None
    system: str | None = None
    """The system turn, kept in `origins`."""
    thought: str | None = None
    """A thought that is set apart from its answer; the two are joined by `delimiters`."""
    finish: str | None = None
    """Finish reasons as servers and libraries spell them."""
    correct: str | None = None
    """Verdict of the source, kept in `origins`; rdpt grades by itself."""
    num_tokens: str | None = None
    """Tokens as the source counted them, kept in `origins`."""
    token_ids: str | None = None
    logprobs: str | None = None
    """Natural logarithms at temperature 1, one per token id."""


# Lower-cased, as files are found in public.
_CONVERSATION = ("conversations", "messages", "conversation")
_PROBLEM = ("problem", "question", "prompt", "query", "instruction", "input")
_ANSWER = (
    "gold_answer",
    "final_answer",
    "expected_answer",
    "ground_truth",
    "answer",
    "gold",
    "target",
    "label",
    "ground_truth_solution",
    "solution",
    "reward_model.ground_truth",
    "metadata.expected_answer",
)
_DOMAIN = ("domain", "subject", "topic", "category", "type")
_TRACE = (
    "trace",
    "response",
    "generation",
    "completion",
    "output",
    "generated_text",
    "generations",
    "generated_solution",
    "responses",
    "completions",
    "outputs",
    "deepseek_attempt",
    "deepseek_solution",
    "attempt",
)
_THOUGHT = (
    *THOUGHTS,
    "reasoning_trace",
    "thinking_trajectory",
    "deepseek_thinking_trajectory",
    "deepseek_reasoning",
    "thinking_trajectories",
)
_OTHERS = {
    "id": ("trace_id", "id", "uuid", "unique_id"),
    "model": ("model", "model_name", "generator", "generation_model"),
    "system": ("system", "system_prompt"),
    "finish": ("finish_reason", "finish_reasons", "stop_reason", "done_reason"),
    "correct": ("correctness_math_verify", "correct", "is_correct"),
    "num_tokens": ("generated_token_count", "generation_token_length", "completion_tokens"),
    "token_ids": ("token_ids",),
    "logprobs": ("logprobs",),
}


_SAMPLE = 20
"""Rows that are looked at for what a column holds."""


class Names:
    """The columns of a source, and some rows that tell what they hold."""

    def __init__(self, names: Sequence[str], sample: Sequence[Values] = ()) -> None:
        self.names, self.sample = names, sample
        self._folded = {name.lower(): name for name in reversed(names)}

    def given(self, what: str, name: str | None) -> str | None:
        """A declared column. Raises BadTable, with the nearest spelling, where it is missing."""
        if name is None or name in self.names or name.split(".")[0] in self.names:
            return name
        near = nearest(name, self.names, cutoff=0.5)
        hint = f", did you mean {near!r}?" if near else ""
        raise BadTable(f"no column {name!r} for {what}{hint} The columns found are {self.listed()}")

    def known(self, candidates: Sequence[str]) -> str | None:
        """The first of the well-known names that is there; of a path, if some row has it."""
        for name in candidates:
            head, _, rest = name.partition(".")
            found = self._folded.get(name) or (self._folded.get(head) if rest else None)
            if found is None:
                continue
            path = found if name == found.lower() else f"{found}.{rest}"
            if path == found or any(value_at(row, path) is not None for row in self.sample):
                return path
        return None

    def missing(self, what: str, candidates: Sequence[str]) -> BadTable:
        return BadTable(
            f"no column looks like the {what} (known names: {', '.join(candidates)}): say which "
            f"with columns = {{ {what} = ... }}. The columns found are {self.listed()}"
        )

    def listed(self) -> str:
        return ", ".join(self.names) or "none"


def names_of(records: SourceRows) -> Names:
    """The columns of a source with its first rows. Raises BadTable where it has none."""
    names = records.names()
    return Names(names, [record.values for record in islice(records.scan(), _SAMPLE)])


def problem_columns(given: ProblemColumns, names: Names) -> ProblemColumns:
    """The columns of a source of problems. Raises BadTable where none holds problems."""
    return ProblemColumns(
        problem=_problem(given, names),
        answer=names.given("answer", given.answer) or names.known(_ANSWER),
        id=names.given("id", given.id),
        domain=names.given("domain", given.domain) or names.known(_DOMAIN),
    )


def trace_columns(given: TraceColumns, names: Names) -> TraceColumns:
    """The columns of an import. Raises BadTable where none holds problems, or traces."""
    declared = {role: names.given(role, getattr(given, role)) for role in _OTHERS}
    return TraceColumns(
        problem=_problem(given, names),
        trace=_trace(given, names),
        answer=names.given("answer", given.answer) or names.known(_ANSWER),
        domain=names.given("domain", given.domain) or names.known(_DOMAIN),
        thought=names.given("thought", given.thought) or _thought(names),
        **{role: declared[role] or names.known(known) for role, known in _OTHERS.items()},
    )


def by_role(columns: ProblemColumns) -> dict[str, str]:
    """Role to the name of its column, for people."""
    named: dict[str, Any] = dict(columns)
    return {
        role: " + ".join(column) if isinstance(column, tuple) else column
        for role, column in named.items()
        if column
    }


def _problem(given: ProblemColumns, names: Names) -> str | tuple[str, ...]:
    if given.problem is not None:
        declared = (given.problem,) if isinstance(given.problem, str) else given.problem
        for name in declared:
            names.given("problem", name)
        return given.problem
    found = names.known(_PROBLEM) or names.known(_CONVERSATION)
    if found is None:
        raise names.missing("problem", (*_PROBLEM, *_CONVERSATION))
    more = names.known(("input",)) if found.lower() == "instruction" else None
    return (found, more) if more else found


def _trace(given: TraceColumns, names: Names) -> str:
    found = names.given("trace", given.trace) or names.known(_TRACE) or names.known(_CONVERSATION)
    if found is None and names.known(("answer",)):  # LIMO: beside an answer it is the trace
        found = names.known(("solution",))
    if found is None:
        raise names.missing("trace", (*_TRACE, *_CONVERSATION))
    return found


def _thought(names: Names) -> str | None:
    """A column of thoughts; one of switches (`reasoning: "on"`) is none."""
    for name in _THOUGHT:
        found = names.known((name,))
        if found and any(_is_thought(row.get(found)) for row in names.sample):
            return found
    return None


_SWITCHES = {"on", "off", "yes", "no", "true", "false", "low", "medium", "high"}


def _is_thought(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_is_thought, value))
    return isinstance(value, str) and value.strip().lower() not in {"", *_SWITCHES}
