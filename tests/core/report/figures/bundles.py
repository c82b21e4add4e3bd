"""Bundles to draw: any number of configurations, with gaps where real ones have them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rdpt_core.report.bundle import (
    Bundle,
    Curve,
    Difference,
    Number,
    Sentences,
    Shown,
    Telling,
    Traces,
)

LABELS = ["teacher", "student", "common", "shared", "boosted"]
FOUR = ["teacher", "student", "shared", "boosted"]
NONE = Number(None, None, None, 0, "nothing labelled")


def number(value: float, half: float = 0.05) -> Number:
    return Number(value, max(value - half, 0.0), min(value + half, 1.0), 240, None)


def shown(name: str, accuracy: Number, kind: str = "arm") -> Shown:
    metrics = {"accuracy": accuracy}
    if kind == "arm":
        for label, value in zip(FOUR, (0.08, 0.3, 0.54, 0.08), strict=True):
            metrics[f"provenance/share/{label}"] = number(value, 0.03)
    selector = name if kind == "arm" else None
    return Shown(name, kind, "big", "small", selector, 0, {"bench": metrics})


def curve(configuration: int = 0, num_positions: int = 12, num_correct: int = 40) -> Curve:
    """Fewer traces at each position; too few of them after some, and no correct ones if 0."""
    counts = {
        "correct": [max(num_correct - 3 * k, 0) for k in range(num_positions)],
        "incorrect": [max(30 - 2 * k, 0) for k in range(num_positions)],
    }
    share = {
        label: {
            side: [_point(at + turn, k, n) for k, n in enumerate(counts[side])]
            for turn, side in enumerate(counts)
        }
        for at, label in enumerate(FOUR)
    }
    return Curve(configuration, 0, list(range(1, num_positions + 1)), counts, share)


def _point(at: int, position: int, n: int) -> list[float | None]:
    if n < 10:
        return [None, None, None]
    value = 0.25 + 0.15 * float(np.sin(position / 2 + at))
    return [value, value - 0.08, value + 0.08]


def bundle(
    arms: Sequence[str] = ("random", "longest"),
    missing: bool = False,
    num_correct: int = 40,
    num_sentences: int = 12,
) -> Bundle:
    """Arms, a teacher and an undistilled student on `bench`. With `missing` the last arm has no
    value at all."""
    configurations = [
        shown("big", number(0.9), "teacher"),
        shown("small", number(0.3), "student"),
        *(shown(a, number(0.8 - 0.03 * i)) for i, a in enumerate(arms)),
    ]
    differences = [
        difference("accuracy", arms[0], "small", 0.41),
        *(difference("accuracy", arms[0], other, 0.03 * i) for i, other in enumerate(arms) if i),
        *(
            difference(c, arms[0], o, 0.01 * i - 0.02)
            for c in FOUR
            for i, o in enumerate(arms)
            if i
        ),
    ]
    if missing:
        empty = {"accuracy": NONE, **{f"provenance/share/{label}": NONE for label in FOUR}}
        configurations[-1] = Shown(arms[-1], "arm", "big", "small", arms[-1], 0, {"bench": empty})
        differences[0] = Difference(0, arms[0], "small", "accuracy", NONE, None, None)
    curves = [curve(i + 2, num_correct=num_correct) for i in range(len(arms))]
    return Bundle(
        experiment="an experiment",
        sentence="",
        benchmarks=["bench"],
        configurations=configurations,
        baseline="small",
        labels=LABELS,
        outcomes=["correct", "wrong"],
        reasons=["too_long"],
        rule={"alpha": 0.15, "beta": 0.1, "normalisation": "token_mean"},
        near=[0.01] * len(configurations),
        min_traces=10,
        curves=curves,
        questions=[],
        differences=differences,
        telling={"teacher": [Telling(0, 3, 0.5)], "boosted": [], "near": []},
        selection=[],
        numbers={},
        traces=traces(num_sentences),
        sentences=sentences(num_sentences),
        text=b"",
    )


def difference(metric: str, first: str, second: str, value: float) -> Difference:
    found = Number(value, value - 0.05, value + 0.05, 240, None)
    if metric != "accuracy":
        return Difference(0, first, second, metric, found, None, None)
    return Difference(0, first, second, metric, found, gained=30, lost=12, detectable=0.064)


def traces(num_sentences: int) -> Traces:
    """One trace of the first arm, with a tag after its first third."""
    return Traces(
        configuration=np.array([2], np.uint16),
        question=np.zeros(1, np.uint32),
        sample=np.zeros(1, np.uint16),
        outcome=np.zeros(1, np.uint8),
        first_sentence=np.array([0, num_sentences], np.uint32),
        first_byte=np.array([0, 0], np.uint64),
        trace_id=["3f9c2a77d1e04b56"],
        extracted=["7"],
        finish=["stop"],
    )


def sentences(num: int) -> Sentences:
    """Labels by turns, the last sentence without any; the third of them near a threshold."""
    place = np.arange(num)
    p = np.random.default_rng(0).beta(2, 2, (num, 3))
    label = np.array([(0, 1, 3, 3, 4)[i % 5] for i in place], np.uint8)
    label[-1:], p[-1:] = 255, np.nan
    zone = np.ones(num, np.uint8)
    zone[num // 3 : num // 3 + 1] = 0
    margin = np.full(num, 0.05, np.float32)
    margin[2::7] = 0.001
    margin[-1:] = np.nan
    return Sentences(
        start=place.astype(np.uint32),
        stop=(place + 1).astype(np.uint32),
        zone=zone,
        label=label,
        direction=np.full(num, 255, np.uint8),
        p=p.astype(np.float32),
        margin=margin,
        num_tokens=np.full(num, 9, np.uint16),
        reason=np.full(num, 255, np.uint8),
    )
