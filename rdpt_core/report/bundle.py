"""What the report's page is made of: everything that it shows, and nothing that it does not.

`flows/report` fills a Bundle from the store. `page.py` writes it into the HTML file, where
`report.js` reads it under the same names. Small things are JSON. Traces and their sentences are
columns, and their texts one UTF-8 buffer, so that 150,000 sentences stay small and open fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Number:
    """A row of `results`."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    note: str | None


@dataclass(frozen=True, slots=True)
class Shown:
    """A configuration, or the mean of all runs of an arm."""

    name: str
    kind: str
    """`arm`, `mean` (of all runs of an arm), or the kind of a baseline: `teacher`, `student`,
    `distilled`."""
    teacher: str | None
    student: str | None
    selector: str | None
    seed: int | None
    results: dict[str, dict[str, Number]]
    """Benchmark to metric to number; the training side under `train`."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Share of each class by sentence position, of one configuration on one benchmark."""

    configuration: int
    """Index into Bundle.configurations."""
    benchmark: int
    position: Sequence[float]
    """From 1; the middles of bins of positions where there are many."""
    num_traces: dict[str, list[int]]
    """`correct` and `incorrect`: at each position; the mean over those of a bin."""
    share: dict[str, dict[str, list[list[float | None]]]]
    """Class to side to [value, low, high] at each position; None below the least number of traces.
    Bands resample questions (cluster bootstrap). A bin pools its sentences."""
    width: int = 1
    """Positions of a bin."""


@dataclass(frozen=True, slots=True)
class Question:
    benchmark: int
    problem_id: str
    prompt: str
    gold: str | None
    domain: str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """Two configurations or arms on the same questions of a benchmark."""

    benchmark: int
    first: str
    second: str
    metric: str
    """`accuracy`, or a class."""
    number: Number
    gained: int | None
    """Questions that the first solves and the second does not."""
    lost: int | None
    detectable: float | None = None
    """The smallest true difference that so many questions show with 80% power."""


@dataclass(frozen=True, slots=True)
class Telling:
    """A sentence that is worth a look."""

    trace: int
    position: int
    """Position of the sentence in its trace, as in Sentences."""
    value: float


@dataclass(frozen=True, slots=True)
class Picked:
    """What one arm picked for training."""

    arm: str
    num_traces: int
    features: dict[str, Number]
    """Mean of `tokens`, `teacher_share`, `student_logprob`."""
    domains: dict[str, int]
    overlap: dict[str, float]
    """Name of another arm to the share of this one's picks that it picked too."""
    examples: list[dict[str, str | float | None]]
    """`prompt`, `text`, `merit`, `runner_up`, `runner_up_merit`."""


@dataclass(frozen=True, slots=True)
class LearntTrace:
    """A selected trace that students were trained on."""

    trace_id: str
    prompt: str
    rank: int
    merit: float
    num_tokens: int
    num_candidates: int
    """Traces of its question."""
    num_eligible: int
    """Those of them that selectors chose from."""
    sentences: list[tuple[int, str]]
    """Index into Bundle.labels, 255 where there is none, and text; without tags."""


@dataclass(frozen=True, slots=True)
class Training:
    """A selection, and the configurations whose students were trained on it."""

    configurations: list[int]
    """Indices into Bundle.configurations."""
    num_traces: int
    num_questions: int
    num_candidates: int
    """Of these questions."""
    num_sentences: dict[str, int]
    """Class to number, in all of its traces."""
    traces: list[LearntTrace]
    """Best first; as many as the page has room for."""


@dataclass(frozen=True, slots=True)
class Traces:
    """Columns, one element a trace, sorted by configuration, question, sample."""

    configuration: NDArray[np.uint16]
    question: NDArray[np.uint32]
    sample: NDArray[np.uint16]
    outcome: NDArray[np.uint8]
    """Index into Bundle.outcomes."""
    first_sentence: NDArray[np.uint32]
    """One more element than there are traces: sentences of trace i are [i] to [i + 1]."""
    first_byte: NDArray[np.uint64]
    """The same for its bytes in Bundle.text."""
    trace_id: list[str]
    extracted: list[str | None]
    finish: list[str]


@dataclass(frozen=True, slots=True)
class Sentences:
    """Columns, one element a sentence or tag, in the order of traces and positions."""

    start: NDArray[np.uint32]
    """Byte in the text of its trace; it ends where the next one starts, or at `stop`."""
    stop: NDArray[np.uint32]
    zone: NDArray[np.uint8]
    """0 tag, 1 thought, 2 answer."""
    label: NDArray[np.uint8]
    """Index into Bundle.labels; 255 where there is none."""
    direction: NDArray[np.uint8]
    """0 up, 1 between, 2 down; 255 where there is none."""
    p: NDArray[np.float32]
    """Sentences x 3: teacher, student, distilled; NaN where there is none."""
    margin: NDArray[np.float32]
    """NaN where there is none."""
    num_tokens: NDArray[np.uint16]
    """The teacher's; 0 where it did not score the sentence."""
    reason: NDArray[np.uint8]
    """Index into Bundle.reasons, why it has no label; 255 where it has one."""


@dataclass(frozen=True, slots=True)
class Bundle:
    experiment: str
    sentence: str
    """The result in words."""
    benchmarks: list[str]
    configurations: list[Shown]
    baseline: str | None
    """Name of the configuration that others are compared with: the undistilled student."""
    labels: list[str]
    outcomes: list[str]
    reasons: list[str]
    rule: dict[str, float | str]
    """`alpha`, `beta`, `normalisation`."""
    near: list[float]
    """For each configuration: margins below it are undetermined, since the measured noise of the
    scorers could turn the label."""
    min_traces: int
    """At a position, for a curve to be drawn."""
    curves: list[Curve]
    questions: list[Question]
    differences: list[Difference]
    telling: dict[str, list[Telling]]
    """`teacher`: largest teacher advantage; `boosted`: largest boost; `near`: smallest margin."""
    selection: list[Picked]
    numbers: dict[str, list[list[str]]]
    """Heading to rows of cells, the first of which names the columns: models, segmenter,
    thresholds, seeds, noise, proxies, machine, seconds and tokens a stage."""
    traces: Traces
    sentences: Sentences
    text: bytes
    """UTF-8 of all traces, one after the other."""
    is_measured: tuple[bool, ...] = ()
    """For each configuration: false where `near` is assumed, since no noise was measured."""
    num_left_out: int = 0
    """Traces that would make the page too large; every number still counts them."""
    training: tuple[Training, ...] = ()
    """One for each selection that students were trained on."""
