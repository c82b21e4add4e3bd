"""Sentences that are worth a look: the extremes of three numbers, spread over traces.

A sentence that many traces share, and a trace with many extremes, come once; each configuration has
its share of the places as long as it has sentences for them. Fragments of fewer than three words
say nothing to a reader, and a text that was cut off mostly repeats itself: both come last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rdpt_core.provenance.labels import LABELS
from rdpt_core.report.bundle import Sentences, Telling, Traces
from rdpt_core.tables.rows import FinishReason, Label

NUM_TELLING = 20
LEAST_WORDS = 3
NUM_LOOKED_AT = 20_000
"""Sentences, from the extreme on."""

Floats = NDArray[np.float64]


def telling(traces: Traces, sentences: Sentences, text: bytes) -> dict[str, list[Telling]]:
    p = sentences.p.astype(np.float64)
    boost = np.where(np.isnan(p[:, 2]), np.nan, p[:, 2] - np.fmax(p[:, 0], p[:, 1]))
    values = {
        "teacher": _where(sentences, Label.TEACHER, p[:, 0] - p[:, 1]),
        "boosted": _where(sentences, Label.BOOSTED, boost),
        "near": -sentences.margin.astype(np.float64),
    }
    return {
        name: _spread(_ordered(value), np.abs(value), traces, sentences, text)
        for name, value in values.items()
    }


def _where(sentences: Sentences, label: Label, value: Floats) -> Floats:
    return np.where(sentences.label == LABELS.index(label), value, np.nan)


def _ordered(value: Floats) -> list[int]:
    """Sentences from the largest value on; those without one left out."""
    known = np.flatnonzero(~np.isnan(value))
    order = known[np.argsort(-value[known], kind="stable")]
    found: list[int] = order[:NUM_LOOKED_AT].tolist()
    return found


def _spread(
    order: Iterable[int], value: Floats, traces: Traces, sentences: Sentences, text: bytes
) -> list[Telling]:
    """The first of each text and trace; no configuration takes more than its share of the places
    while others have some to offer."""
    rows = list(enumerate(_different(order, traces, sentences, text)))
    num_offering = len({int(traces.configuration[trace]) for _, (_, trace) in rows})
    most = -(-NUM_TELLING // max(num_offering, 1))
    taken: Counter[int] = Counter()
    first: list[tuple[int, tuple[int, int]]] = []
    later: list[tuple[int, tuple[int, int]]] = []
    for row in rows:
        configuration = int(traces.configuration[row[1][1]])
        (first if taken[configuration] < most else later).append(row)
        taken[configuration] += 1
    return [
        Telling(trace, at - int(traces.first_sentence[trace]), float(value[at]))
        for _, (at, trace) in sorted([*first, *later][:NUM_TELLING])
    ]


def _different(
    order: Iterable[int], traces: Traces, sentences: Sentences, text: bytes
) -> Iterable[tuple[int, int]]:
    """Sentence and trace; those that say little last."""
    places = [_place(at, traces, sentences, text) for at in order]
    seen: set[bytes | int] = set()
    for place in sorted(places, key=lambda place: place.says_little):
        if place.trace not in seen and place.words not in seen:
            seen |= {place.trace, place.words}
            yield place.sentence, place.trace


class _Place(NamedTuple):
    sentence: int
    trace: int
    words: bytes
    says_little: bool


def _place(at: int, traces: Traces, sentences: Sentences, text: bytes) -> _Place:
    trace = int(np.searchsorted(traces.first_sentence, at, side="right")) - 1
    first = int(traces.first_byte[trace])
    words = text[first + int(sentences.start[at]) : first + int(sentences.stop[at])].strip()
    was_cut = traces.finish[trace] == FinishReason.LENGTH
    return _Place(at, trace, words, was_cut or len(words.split()) < LEAST_WORDS)
