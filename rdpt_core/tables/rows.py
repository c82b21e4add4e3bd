"""The rows: one frozen dataclass per table, the only schema that rdpt has.

Arrow schemas and SQL types are rendered from these classes (`store.py`, `catalog.py`), so the
meaning of a column is written here once. Conventions: `num_` counts, `p_` is a probability,
`logprob` is a sum of natural logarithms (nats), byte offsets are UTF-8 and half open. A missing
value is None (NaN inside arrays, NULL in a file), never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

U8s = Annotated[NDArray[np.uint8], pa.list_(pa.uint8())]
U32s = Annotated[NDArray[np.uint32], pa.list_(pa.uint32())]
I32s = Annotated[NDArray[np.int32], pa.list_(pa.int32())]
F16s = Annotated[NDArray[np.float16], pa.list_(pa.float16())]
F32s = Annotated[NDArray[np.float32], pa.list_(pa.float32())]


class ZoneKind(StrEnum):
    TAG = "tag"
    THOUGHT = "thought"
    ANSWER = "answer"


class FinishReason(StrEnum):
    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    TOOL_CALLS = "tool_calls"
    ERROR = "error"
    UNKNOWN = "unknown"

    @property
    def is_unfinished(self) -> bool:
        """True if something other than the author or a limit ended the text."""
        return self in (FinishReason.CONTENT_FILTER, FinishReason.TOOL_CALLS, FinishReason.ERROR)


class Outcome(StrEnum):
    CORRECT = "correct"
    WRONG = "wrong"
    TRUNCATED = "truncated"
    UNPARSED = "unparsed"
    TIMEOUT = "timeout"
    UNGRADED = "ungraded"


class ScoreStatus(StrEnum):
    OK = "ok"
    PARTIAL = "partial"
    TOO_LONG = "too_long"
    ERROR = "error"


class ScoreSource(StrEnum):
    FORWARD = "forward"
    SERVER = "server"
    LOGGED = "logged"


class Label(StrEnum):
    TEACHER = "teacher"
    STUDENT = "student"
    COMMON = "common"
    SHARED = "shared"
    BOOSTED = "boosted"


class Direction(StrEnum):
    """The distilled student's probability: above both others, between them, or below both."""

    UP = "up"
    BETWEEN = "between"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Zone:
    """A span of a trace. `tag` is a delimiter with the whitespace next to it."""

    kind: ZoneKind
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Problem:
    TABLE: ClassVar[str] = "problems"
    KEY: ClassVar[tuple[str, ...]] = ("problem_id",)

    problem_id: str
    """Digest of the source's name and the prompt, so the same problem keeps its id in any file."""
    source: str
    split: str
    domain: str
    prompt: str
    answer: str | None


@dataclass(frozen=True, slots=True)
class Trace:
    TABLE: ClassVar[str] = "traces"
    KEY: ClassVar[tuple[str, ...]] = ("trace_id",)

    trace_id: str
    """Digest of problem, author, sampling, sample index and the text's bytes."""
    problem_id: str
    author: str
    """Digest of the model identity that sampled it, or the name in an import."""
    sample_index: int
    text: str
    """Exactly as sampled, delimiters included, without the end of turn."""
    zones: tuple[Zone, ...]
    """Cover the text's bytes without gap or overlap."""
    finish_reason: FinishReason
    num_tokens: int | None
    token_ids: I32s | None
    """Sampled ids, including the end of turn."""
    logprobs: F32s | None
    """Raw values at temperature 1, one per token id."""
    sampled_logprobs: F32s | None
    """Values after temperature and top-p; None if these are the raw ones."""
    seed: int | None
    source_id: str | None
    """The id that an imported trace had at its source."""


@dataclass(frozen=True, slots=True)
class Reject:
    """An unusable item, unchanged, with the reason."""

    TABLE: ClassVar[str] = "rejects"
    KEY: ClassVar[tuple[str, ...]] = ("source", "item")

    source: str
    item: int
    reason: str
    raw: bytes
    num_tries: int | None


@dataclass(frozen=True, slots=True)
class Origin:
    """What an import says about a trace beyond its text; no row if it says nothing."""

    TABLE: ClassVar[str] = "origins"
    KEY: ClassVar[tuple[str, ...]] = ("trace_id",)

    trace_id: str
    system: str | None
    """The system turn of its conversation; never part of the problem."""
    finish: str | None
    """The finish reason as spelled in the source."""
    correct: bool | None
    """Verdict of the source; rdpt grades independently."""
    num_tokens: int | None
    """Number of tokens according to the source."""


@dataclass(frozen=True, slots=True)
class Account:
    """How many values of a source were used, missing, rejected or not understood, by role."""

    TABLE: ClassVar[str] = "accounts"
    KEY: ClassVar[tuple[str, ...]] = ("source", "role", "became")

    source: str
    role: str
    """Use of the values: problem, trace, answer, finish, ...; or rows, traces, problems."""
    became: str
    column: str | None
    num: int
    example: str | None
    """The first such value, shortened; for rejected rows the reason."""


@dataclass(frozen=True, slots=True)
class Grade:
    TABLE: ClassVar[str] = "grades"
    KEY: ClassVar[tuple[str, ...]] = ("trace_id",)

    trace_id: str
    outcome: Outcome
    extracted: str | None
    """The text that the grader took as the answer."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A byte span of `traces.text`; the spans of a trace join to its text, tags included."""

    TABLE: ClassVar[str] = "sentences"
    KEY: ClassVar[tuple[str, ...]] = ("trace_id", "position")

    trace_id: str
    position: int
    start: int
    stop: int
    zone: ZoneKind


@dataclass(frozen=True, slots=True)
class TokenScores:
    """One trace under one model, teacher-forced, at temperature 1.

    The arrays are parallel and cover the trace's bytes in order up to `scored_stop`. A tag's bytes
    are one entry whose log-probability is missing. An entry of more than 255 bytes is split into
    several: the first holds the numbers, the others are missing.
    """

    TABLE: ClassVar[str] = "scores"
    KEY: ClassVar[tuple[str, ...]] = ("trace_id", "scorer")

    trace_id: str
    scorer: str
    status: ScoreStatus
    scored_stop: int
    """Bytes of the text that are scored; below its length only if `partial` (0 if too long)."""
    verbatim: bool
    """True if the scored ids decode to the trace's bytes, span by span. A row with scores has False
    only if the tokenizer of an `rdpt score` cannot represent a text's leading whitespace."""
    retokenized: bool
    """True if the ids were encoded from text; False if the author sampled them."""
    split: bool
    """True if the pack was halved because memory ran out (may differ by 1e-5)."""
    source: ScoreSource
    temperature: float
    topk: int | None
    tag_logprob: float | None
    """Sum over the delimiters that the scorer's contract renders."""
    num_tag_tokens: int
    end_logprob: float | None
    """Log-probability of the end of turn; None if the trace did not end by itself."""
    token_bytes: U8s
    logprobs: F32s
    """Nats; shifted by that of whitespace if the scorer counts it with the preceding token."""
    ranks: U32s
    """1 + the number of ids with a larger logit; 0 if the log-probability is missing."""
    entropies: F16s
    """Nats, over the full vocabulary."""
    sum_squares: F16s
    """Sum of squared probabilities over the full vocabulary."""
    top50_mass: F16s | None
    top50_squares: F16s | None


@dataclass(frozen=True, slots=True)
class SentenceScore:
    """A sentence outside tags under one model; None if the model has no score for it."""

    TABLE: ClassVar[str] = "sentence_scores"
    KEY: ClassVar[tuple[str, ...]] = ("trace_id", "position", "scorer")

    trace_id: str
    position: int
    scorer: str
    logprob: float | None
    num_tokens: int
    num_bytes: int
    first_logprob: float | None
    sum_entropy: float | None
    sum_rank100: int | None
    """Sum of min(rank, 100) over the tokens (RSR)."""


@dataclass(frozen=True, slots=True)
class Provenance:
    TABLE: ClassVar[str] = "provenance"
    KEY: ClassVar[tuple[str, ...]] = ("trace_id", "position")

    trace_id: str
    position: int
    label: Label | None
    direction: Direction | None
    margin: float | None
    """Distance of the probabilities to the nearest threshold at which the label changes."""
    p_teacher: float | None
    p_student: float | None
    p_distilled: float | None
    reason: str | None
    """Why the label is missing: partial, too_long or error."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trace in the pool that all selectors choose from."""

    TABLE: ClassVar[str] = "pool"
    KEY: ClassVar[tuple[str, ...]] = ("trace_id",)

    trace_id: str
    eligible: bool
    reason: str
    """`eligible`, or the first rule that it breaks."""


@dataclass(frozen=True, slots=True)
class Pick:
    TABLE: ClassVar[str] = "selection"
    KEY: ClassVar[tuple[str, ...]] = ("trace_id",)

    trace_id: str
    rank: int
    merit: float
    """The selector's value; larger is better."""
    num_tokens: int
    """Number of the student's tokens."""


@dataclass(frozen=True, slots=True)
class TrainingStep:
    TABLE: ClassVar[str] = "students"
    KEY: ClassVar[tuple[str, ...]] = ("student", "step")

    student: str
    step: int
    loss: float
    """Mean cross-entropy of the completion tokens, nats."""
    learning_rate: float
    grad_norm: float | None
    tokens_seen: int
    """Completion tokens of this step and all before it."""
    num_fed: int
    """Tokens of this step's examples, including prompts, excluding padding."""
    num_trained: int
    """Tokens among them that enter the loss."""
    held_out_loss: float | None
    """Mean cross-entropy of the held-out completions, after the last step of an epoch."""


@dataclass(frozen=True, slots=True)
class Result:
    TABLE: ClassVar[str] = "results"
    KEY: ClassVar[tuple[str, ...]] = ("configuration", "side", "benchmark", "metric")

    configuration: str
    side: str
    """`train` or `test`."""
    benchmark: str
    metric: str
    value: float | None
    low: float | None
    """95% interval."""
    high: float | None
    n: int
    """Questions, unless the note says otherwise."""
    note: str | None


Row = (
    Problem
    | Trace
    | Reject
    | Origin
    | Account
    | Grade
    | Sentence
    | TokenScores
    | SentenceScore
    | Provenance
    | Candidate
    | Pick
    | TrainingStep
    | Result
)

ROWS: tuple[type[Row], ...] = (
    Problem,
    Trace,
    Reject,
    Origin,
    Account,
    Grade,
    Sentence,
    TokenScores,
    SentenceScore,
    Provenance,
    Candidate,
    Pick,
    TrainingStep,
    Result,
)
