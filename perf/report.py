"""Size of a report and the seconds to make it, on random traces of realistic lengths.

    .venv/bin/python perf/report.py [--sentences 150000] [-o report.html]

Words are drawn from a vocabulary by Zipf's law, so texts compress about as well as real ones.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdpt_core.provenance.curves import OUTCOMES
from rdpt_core.provenance.labels import FOUR_WAY, LABELS, LabelRule, label
from rdpt_core.report.bundle import (
    Bundle,
    Curve,
    Difference,
    Number,
    Picked,
    Question,
    Sentences,
    Shown,
    Telling,
    Traces,
)
from rdpt_core.tables.rows import Outcome

SEED = 7
ARMS = ("random", "gap_tokens", "teacher_share", "matched")
BASELINES = ("teacher", "student")
BENCHMARKS = ("depth1", "depth2")
MEAN_SENTENCES = 60
"""A trace, before the spread of a log-normal distribution."""
MIN_TRACES = 10
LETTERS = list("etaoinshrdlucmfwypvbgk")
NUM_WORDS = 20_000

Random = np.random.Generator
Ints = NDArray[np.int64]


def bundle(num_sentences: int = 150_000, longest: int = 20_000) -> Bundle:
    """A stand-in: about `num_sentences` sentences, one trace of `longest` (if it has room)."""
    random = np.random.default_rng(SEED)
    lengths = _lengths(random, num_sentences, longest)
    shown = _configurations(random)
    own = [c for c, one in enumerate(shown) if one.kind != "mean"]
    traces, questions = _traces(random, lengths, own)
    words = _words(random)
    sentences, text, first_byte = _sentences(random, lengths, words)
    traces = Traces(**{**_fields(traces), "first_byte": first_byte})
    return Bundle(
        experiment="stand-in",
        sentence="Random numbers, which say nothing: this report measures how fast a page opens.",
        benchmarks=list(BENCHMARKS),
        configurations=shown,
        baseline="student",
        labels=[str(name) for name in LABELS],
        outcomes=[str(name) for name in OUTCOMES],
        reasons=["partial", "too_long", "error", "no_tokens"],
        rule={"alpha": 0.1, "beta": 0.1, "normalisation": "token_mean"},
        near=[0.005] * len(shown),
        min_traces=MIN_TRACES,
        curves=_curves(random, len(shown)),
        questions=questions,
        differences=_differences(random),
        telling=_telling(traces, sentences),
        selection=_selection(random, words),
        numbers=_numbers(),
        traces=traces,
        sentences=sentences,
        text=text,
    )


def _fields(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__dataclass_fields__}


# ---------------------------------------------------------------------------- traces


def _lengths(random: Random, num_sentences: int, longest: int) -> Ints:
    """Sentences of each trace, tags included."""
    found = [longest] if num_sentences > 2 * longest else []
    while sum(found) < num_sentences:
        found.append(3 + int(random.lognormal(np.log(MEAN_SENTENCES), 0.6)))
    return np.array(found)


def _traces(random: Random, lengths: Ints, shown: list[int]) -> tuple[Traces, list[Question]]:
    """Every configuration answers the same questions, half of them on each benchmark."""
    num = len(lengths)
    num_questions = -(-num // len(shown))
    order = np.arange(num)
    truncated = random.random(num) < 0.04
    correct = random.random(num) < 0.6
    outcome = np.where(truncated, OUTCOMES.index(Outcome.TRUNCATED), np.where(correct, 0, 1))
    answers = random.integers(1, 999, num).tolist()
    traces = Traces(
        configuration=np.array(shown, np.uint16)[order // num_questions],
        question=(order % num_questions).astype(np.uint32),
        sample=np.zeros(num, np.uint16),
        outcome=outcome.astype(np.uint8),
        first_sentence=np.concatenate([[0], np.cumsum(lengths)]).astype(np.uint32),
        first_byte=np.zeros(num + 1, np.uint64),
        trace_id=[random.bytes(16).hex() for _ in range(num)],
        extracted=[None if cut else str(n) for cut, n in zip(truncated, answers, strict=True)],
        finish=["length" if cut else "stop" for cut in truncated],
    )
    questions = [
        Question(
            benchmark=2 * n // num_questions,
            problem_id=random.bytes(16).hex(),
            prompt=f"Question {n + 1}: Ann has {n + 2} apples and buys {n % 7 + 1} more. How many?",
            gold=str(2 + n + n % 7 + 1),
            domain=f"domain {n % 4}",
        )
        for n in range(num_questions)
    ]
    return traces, questions


def _words(random: Random) -> list[bytes]:
    sizes = random.integers(2, 9, NUM_WORDS)
    return ["".join(random.choice(LETTERS, size)).encode() for size in sizes]


def _sentences(
    random: Random, lengths: Ints, words: list[bytes]
) -> tuple[Sentences, bytes, NDArray[np.uint64]]:
    """A thought between tags, then an answer of about a seventh of the sentences."""
    num = int(lengths.sum())
    starts = np.concatenate([[0], np.cumsum(lengths)])
    zone, tags = _zones(lengths, starts)
    texts = _texts(random, num, words, tags)
    sizes = np.array([len(one) for one in texts])
    ends = np.cumsum(sizes)
    first_byte = np.concatenate([[0], ends])[starts].astype(np.uint64)
    base = np.repeat(first_byte[:-1].astype(np.int64), lengths)
    p, codes, direction, margin = _labels(random, num)
    tag, missing = zone == 0, random.random(num) < 0.005
    none = tag | missing
    sentences = Sentences(
        start=(ends - sizes - base).astype(np.uint32),
        stop=(ends - base).astype(np.uint32),
        zone=zone,
        label=np.where(none, 255, codes).astype(np.uint8),
        direction=np.where(none, 255, direction).astype(np.uint8),
        p=np.where(none[:, None], np.nan, p).astype(np.float32),
        margin=np.where(none, np.nan, margin).astype(np.float32),
        num_tokens=np.where(tag, 0, np.maximum(sizes // 4, 1)).astype(np.uint16),
        reason=np.where(missing & ~tag, 0, 255).astype(np.uint8),
    )
    return sentences, b"".join(texts), first_byte


def _zones(lengths: Ints, starts: Ints) -> tuple[NDArray[np.uint8], dict[int, bytes]]:
    zone = np.full(int(lengths.sum()), 1, np.uint8)
    tags: dict[int, bytes] = {}
    for first, size in zip(starts[:-1].tolist(), lengths.tolist(), strict=True):
        close = first + size - 1 - max(size // 7, 1)
        zone[close + 1 : first + size] = 2
        tags |= {first: b"<think>\n", close: b"\n</think>\n\n"}
    zone[list(tags)] = 0
    return zone, tags


def _texts(random: Random, num: int, words: list[bytes], tags: dict[int, bytes]) -> list[bytes]:
    sizes = random.integers(4, 24, num)
    drawn = np.minimum(random.zipf(1.15, int(sizes.sum())), len(words)) - 1
    picked = [words[i] for i in drawn.tolist()]
    ends = np.cumsum(sizes).tolist()
    begins = [0, *ends[:-1]]
    texts = [b" ".join(picked[a:b]) + b". " for a, b in zip(begins, ends, strict=True)]
    for place, tag in tags.items():
        texts[place] = tag
    return texts


def _labels(random: Random, num: int) -> tuple[Any, Any, Any, Any]:
    """Probabilities that go together, as those of models of one family do."""
    base = random.beta(3, 1.5, num)
    p = np.clip(base[:, None] + random.normal(0, [0.07, 0.12, 0.08], (num, 3)), 0.001, 0.999)
    found = label(p[:, 0], p[:, 1], p[:, 2], LabelRule(alpha=0.1, beta=0.1))
    return p, found.label, found.direction, found.margin


def _telling(traces: Traces, sentences: Sentences) -> dict[str, list[Telling]]:
    p = np.nan_to_num(sentences.p.astype(np.float64), nan=0.0)
    boost = p[:, 2] - p[:, :2].max(axis=1)
    values = {
        "teacher": p[:, 0] - p[:, 1],
        "boosted": boost,
        "near": -np.nan_to_num(sentences.margin.astype(np.float64), nan=1.0),
    }
    return {name: _largest(traces, value) for name, value in values.items()}


def _largest(traces: Traces, value: NDArray[np.float64]) -> list[Telling]:
    found = []
    for place in np.argsort(-value, kind="stable")[:20].tolist():
        trace = int(np.searchsorted(traces.first_sentence, place, side="right")) - 1
        position = place - int(traces.first_sentence[trace])
        found.append(Telling(trace, position, abs(float(value[place]))))
    return found


# ---------------------------------------------------------------------------- numbers


def _number(random: Random, middle: float, spread: float = 0.04) -> Number:
    value = float(np.clip(middle + random.normal(0, spread), 0, 1))
    return Number(value, max(value - 1.96 * spread, 0), min(value + 1.96 * spread, 1), 240, None)


def _configurations(random: Random) -> list[Shown]:
    def shown(name: str, kind: str, selector: str | None, seed: int | None) -> Shown:
        teacher = None if kind == "student" else "teacher"
        student = None if kind == "teacher" else "student"
        return Shown(name, kind, teacher, student, selector, seed, _results(random))

    arms = [shown(f"{name}-s{seed}", "arm", name, seed) for name in ARMS for seed in (0, 1)]
    means = [shown(f"{name}-mean", "mean", name, None) for name in ARMS]
    return [*arms, *means, *(shown(name, name, None, None) for name in BASELINES)]


def _results(random: Random) -> dict[str, dict[str, Number]]:
    shares = dict(zip(FOUR_WAY, (0.35, 0.15, 0.4, 0.1), strict=True))
    return {
        benchmark: {
            "accuracy": _number(random, 0.6),
            "grades/lift": _number(random, 0.1),
            "grades/detectable_lift": _number(random, 0.08, 0.0),
            **{f"provenance/share/{name}": _number(random, s) for name, s in shares.items()},
        }
        for benchmark in BENCHMARKS
    }


def _curves(random: Random, num_shown: int) -> list[Curve]:
    return [_curve(random, c, b) for c in range(num_shown) for b in range(len(BENCHMARKS))]


def _curve(random: Random, configuration: int, benchmark: int) -> Curve:
    width = 5  # of 200 positions
    position = [first + (width - 1) / 2 for first in range(1, 201, width)]
    num = {
        side: np.maximum(n * np.exp(-np.array(position) / 80), 1).astype(int)
        for side, n in (("correct", 150), ("incorrect", 90))
    }
    share: dict[str, dict[str, list[list[float | None]]]] = {}
    for name, level in zip(FOUR_WAY, (0.35, 0.15, 0.4, 0.1), strict=True):
        share[str(name)] = {
            side: [
                [round(v := level + float(random.normal(0, 0.02)), 4), v - 0.05, v + 0.05]
                if count >= MIN_TRACES
                else [None, None, None]
                for count in counts
            ]
            for side, counts in num.items()
        }
    counts_of = {side: [int(count) for count in counts] for side, counts in num.items()}
    return Curve(configuration, benchmark, position, counts_of, share, width)


def _differences(random: Random) -> list[Difference]:
    return [
        Difference(b, f"{name}-s0", "student", "accuracy", _number(random, 0.1), 30, 12)
        for b in range(len(BENCHMARKS))
        for name in ARMS
    ]


def _selection(random: Random, words: list[bytes]) -> list[Picked]:
    def words_of(num: int) -> str:
        return " ".join(words[i].decode() for i in random.integers(0, len(words), num))

    return [
        Picked(
            arm=name,
            num_traces=400,
            features={
                "tokens": Number(120.0, 110.0, 130.0, 400, None),
                "teacher_share": _number(random, 0.4),
                "student_logprob": Number(-0.6, -0.7, -0.5, 400, None),
            },
            domains={f"domain {n}": 100 for n in range(4)},
            overlap={other: 0.25 for other in ARMS if other != name},
            examples=[
                {
                    "prompt": words_of(20),
                    "text": words_of(150),
                    "merit": 0.5,
                    "runner_up": words_of(150),
                    "runner_up_merit": 0.3,
                }
                for _ in range(5)
            ],
        )
        for name in ARMS
    ]


def _numbers() -> dict[str, list[list[str]]]:
    return {
        "models": [["role", "model", "revision", "digest"], ["teacher", "t", "main", "0" * 12]],
        "thresholds": [["setting", "value"], ["alpha", "0.1"], ["beta", "0.1"]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=int, default=150_000)
    parser.add_argument("-o", "--out", type=Path, default=Path("report.html"))
    arguments = parser.parse_args()
    from rdpt_core.report.page import write_page

    start = time.perf_counter()
    made = bundle(arguments.sentences)
    middle = time.perf_counter()
    page = write_page(made)
    raw = page.encode() if isinstance(page, str) else page
    arguments.out.write_bytes(raw)
    print(
        f"{len(made.sentences.start):,} sentences, {len(made.text) / 1e6:.1f} MB of text: "
        f"{len(raw) / 1e6:.1f} MB; drawn in {middle - start:.1f} s, written in "
        f"{time.perf_counter() - middle:.1f} s"
    )


if __name__ == "__main__":
    main()
