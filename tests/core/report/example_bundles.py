"""A Bundle with known contents: arms, baselines, every class, undetermined and missing scores."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from rdpt_core.provenance.labels import LABELS, MISSING, LabelRule, label
from rdpt_core.report.bundle import (
    Bundle,
    Curve,
    Difference,
    LearntTrace,
    Number,
    Picked,
    Question,
    Sentences,
    Shown,
    Telling,
    Traces,
    Training,
)

ARMS = ("teacher_count", "random", "longest")
ACCURACY = {"teacher_count": 0.64, "random": 0.725, "longest": 0.675}
RULE = LabelRule(alpha=0.1, beta=0.1)
NONE = 255
WORDS = "So Mia has 22 * 4 = 88 eggs, which is more than Zoe found in two days."


def example_bundle(
    num_questions: int = 12, num_sentences: int = 9, num_samples: int = 1, seed: int = 0
) -> Bundle:
    """Each arm answers each question `num_samples` times with `num_sentences` sentences."""
    random = np.random.default_rng(seed)
    size = len(ARMS) * num_questions * num_samples
    sentences, text = _sentences(size, num_sentences, random)
    traces = _traces(num_questions, num_samples, num_sentences, len(text) // size, random)
    configurations = [*map(_arm, range(len(ARMS))), _mean("random")]
    configurations += [_baseline("pocket-teacher", 0.875), _baseline("pocket-student", 0.3125)]
    return Bundle(
        experiment="pocket",
        sentence="random is best at 72.5% [66.6, 78.0]; 7.7% of its sentences are the teacher's. "
        "longest and random cannot be told apart: 460 questions would tell.",
        benchmarks=["pocket-bench", "other-bench"],
        configurations=configurations,
        baseline="pocket-student",
        labels=[str(one) for one in LABELS],
        outcomes=["correct", "wrong", "truncated", "unparsed", "timeout", "ungraded"],
        reasons=["too_long", "no_tokens"],
        rule={"alpha": RULE.alpha, "beta": RULE.beta, "normalisation": "token_mean"},
        near=[0.01] * len(configurations),
        min_traces=30,
        curves=[_curve(index, random) for index in range(len(ARMS))],
        questions=[_question(k) for k in range(num_questions)],
        differences=[
            _difference(arm, metric) for arm in ARMS for metric in ("accuracy", "teacher")
        ],
        telling=_telling(sentences, num_sentences),
        selection=[_picked(arm) for arm in ARMS],
        training=tuple(_training(index) for index in range(len(ARMS))),
        numbers=_numbers(),
        traces=traces,
        sentences=sentences,
        text=text,
    )


def _sentences(
    num_traces: int, per_trace: int, random: np.random.Generator
) -> tuple[Sentences, bytes]:
    """A tag first, then sentences; the last one is the answer, and one in 20 has no score."""
    size = num_traces * per_trace
    p = random.beta(4, 1.5, size=(size, 3)).astype(np.float32)
    p[:, 1] = np.clip(p[:, 0] + random.normal(-0.05, 0.15, size), 0, 1)
    p[random.random(size) < 0.05, 1] = np.nan
    p[::per_trace] = np.nan
    values = p.astype(np.float64)
    found = label(values[:, 0], values[:, 1], values[:, 2], RULE)
    zone = np.full(size, 1, np.uint8)
    zone[::per_trace], zone[per_trace - 1 :: per_trace] = 0, 2
    is_missing = found.label == MISSING
    pieces = [b"<think>\n", *[f"{WORDS} ".encode()] * (per_trace - 1)]
    stop = np.cumsum([len(piece) for piece in pieces])
    start = stop - [len(piece) for piece in pieces]
    sentences = Sentences(
        start=np.tile(start, num_traces).astype(np.uint32),
        stop=np.tile(stop, num_traces).astype(np.uint32),
        zone=zone,
        label=np.where(is_missing, NONE, found.label).astype(np.uint8),
        direction=np.where(is_missing, NONE, found.direction).astype(np.uint8),
        p=p,
        margin=found.margin.astype(np.float32),
        num_tokens=random.integers(3, 40, size).astype(np.uint16),
        reason=np.where(is_missing & (zone > 0), 0, NONE).astype(np.uint8),
    )
    return sentences, b"".join(pieces) * num_traces


def _traces(
    questions: int, samples: int, sentences: int, num_bytes: int, random: np.random.Generator
) -> Traces:
    size = len(ARMS) * questions * samples
    accuracy = np.repeat([ACCURACY[arm] for arm in ARMS], questions * samples)
    return Traces(
        configuration=np.repeat(np.arange(len(ARMS)), questions * samples).astype(np.uint16),
        question=np.tile(np.repeat(np.arange(questions), samples), len(ARMS)).astype(np.uint32),
        sample=np.tile(np.arange(samples), len(ARMS) * questions).astype(np.uint16),
        outcome=(random.random(size) > accuracy).astype(np.uint8),
        first_sentence=(np.arange(size + 1) * sentences).astype(np.uint32),
        first_byte=(np.arange(size + 1) * num_bytes).astype(np.uint64),
        trace_id=[f"{k:032x}" for k in range(size)],
        extracted=[str(k % 90) if k % 11 else None for k in range(size)],
        finish=["stop" if k % 7 else "length" for k in range(size)],
    )


def _number(value: float, half: float = 0.06, note: str | None = None) -> Number:
    return Number(value, value - half, value + half, 240, note)


def _results(accuracy: float) -> dict[str, dict[str, Number]]:
    shares = {"teacher": 0.08, "student": 0.33, "shared": 0.48, "boosted": 0.11}
    numbers = {f"provenance/share/{key}": _number(value, 0.02) for key, value in shares.items()}
    return {
        "pocket-bench": {"accuracy": _number(accuracy), **numbers},
        "other-bench": {"accuracy": _number(accuracy / 2, note="conservative"), **numbers},
        "train": {"tokens": Number(17464.0, None, None, 180, None)},
    }


def _arm(index: int) -> Shown:
    name = ARMS[index]
    results = _results(ACCURACY[name])
    return Shown(name, "arm", "pocket-teacher", "pocket-student", name, 0, results)


def _mean(selector: str) -> Shown:
    results = _results(ACCURACY[selector])
    name = f"{selector} (mean)"
    return Shown(name, "mean", "pocket-teacher", "pocket-student", selector, None, results)


def _baseline(name: str, accuracy: float) -> Shown:
    kind = name.removeprefix("pocket-")
    results = {
        benchmark: {"accuracy": _number(accuracy)} for benchmark in ("pocket-bench", "other-bench")
    }
    return Shown(name, kind, None, None, None, None, results)


def _question(k: int) -> Question:
    prompt = f"Ben has {14 + k} apples and Mia starts with 5. How many do they have in all?"
    return Question(int(k % 3 == 2), f"problem-{k:04d}", prompt, str(19 + k), f"depth-{k % 6 + 1}")


def _curve(configuration: int, random: np.random.Generator) -> Curve:
    position = list(range(1, 16))
    shares = {"teacher": 0.2, "student": 0.25, "shared": 0.4, "boosted": 0.15}
    share: dict[str, dict[str, list[list[float | None]]]] = {}
    for name, middle in shares.items():
        share[name] = {}
        for side, shift in (("correct", 0.03), ("incorrect", -0.03)):
            values = middle + shift + 0.05 * np.sin(np.array(position) / 3) + random.normal(0, 0.01)
            share[name][side] = [[float(v), float(v - 0.05), float(v + 0.05)] for v in values]
            share[name][side][-1] = [None, None, None]
    num_traces = {
        "correct": [170 - 9 * k for k in position],
        "incorrect": [90 - 4 * k for k in position],
    }
    return Curve(configuration, 0, position, num_traces, share)


def _difference(arm: str, metric: str) -> Difference:
    value = ACCURACY[arm] - 0.3125 if metric == "accuracy" else 0.03
    changed = (96, 12) if metric == "accuracy" else (None, None)
    return Difference(0, arm, "pocket-student", metric, _number(value, 0.07), *changed)


def _telling(sentences: Sentences, per_trace: int) -> dict[str, list[Telling]]:
    gap = sentences.p[:, 0] - sentences.p[:, 1]
    boost = sentences.p[:, 2] - np.maximum(sentences.p[:, 0], sentences.p[:, 1])
    keys = {"teacher": -gap, "boosted": -boost, "near": sentences.margin}
    found: dict[str, list[Telling]] = {}
    for name, key in keys.items():
        best = [int(i) for i in np.argsort(key, kind="stable")[:20]]
        found[name] = [Telling(i // per_trace, i % per_trace, abs(float(key[i]))) for i in best]
    return found


def _picked(arm: str) -> Picked:
    features = {
        "tokens": _number(97.0, 3),
        "teacher_share": _number(0.4),
        "student_logprob": _number(-0.6),
    }
    others = {other: 0.4 for other in ARMS if other != arm}
    example: dict[str, str | float | None] = {
        "prompt": "Ben has 14 apples.",
        "text": "<think>\nBen has 14.\n</think>\n\nThe answer is 14.",
        "merit": 3.0,
        "runner_up": "The answer is 15.",
        "runner_up_merit": 2.0,
    }
    domains = {f"depth-{depth}": 30 for depth in range(1, 7)}
    return Picked(arm, 180, features, domains, others, [example])


def _training(index: int) -> Training:
    sentences = [(0, "So Ben has 22 * 4 = 88 eggs."), (1, "Nothing else."), (NONE, WORDS)]
    trace = LearntTrace("7f" * 16, "Ben has 14 apples.", 0, 3.0, 97, 4, 3, sentences)
    return Training([index], 180, 180, 720, {"teacher": 300, "student": 100}, [trace])


def _numbers() -> dict[str, list[list[str]]]:
    return {
        "Models": [
            ["role", "name", "digest"],
            ["teacher", "pocket-teacher", "4f1c"],
            ["student", "pocket-student", "9ab0"],
        ],
        "Thresholds": [["rule", "value"], ["alpha", "0.1"], ["beta", "0.1"]],
        "Machine": [["what", "value"], ["processor", "2 cores"], ["memory", "8 GB"]],
    }


def without_traces(bundle: Bundle) -> Bundle:
    """The same experiment before any answer was sampled."""
    none: Any = np.zeros(0)
    columns = {field.name: none for field in dataclasses.fields(bundle.sentences)}
    sentences = Sentences(**{**columns, "p": np.zeros((0, 3), np.float32)})
    traces = Traces(
        configuration=none,
        question=none,
        sample=none,
        outcome=none,
        first_sentence=np.zeros(1, np.uint32),
        first_byte=np.zeros(1, np.uint64),
        trace_id=[],
        extracted=[],
        finish=[],
    )
    return dataclasses.replace(bundle, traces=traces, sentences=sentences, text=b"", telling={})
