"""Telling sentences: extremes, spread over texts, traces and configurations."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from flows.report.telling import NUM_TELLING, telling
from rdpt_core.provenance.labels import LABELS
from rdpt_core.report.bundle import Sentences, Telling, Traces
from rdpt_core.tables.rows import Label

TEACHER, STUDENT, BOOSTED = map(LABELS.index, (Label.TEACHER, Label.STUDENT, Label.BOOSTED))
Row = tuple[str, int, float, float, float]
"""Text, label, and the three probabilities."""


def told(
    configurations: list[int], traces: list[list[Row]], finish: str = "stop"
) -> dict[str, list[Telling]]:
    """What traces have that are given sentence by sentence; `finish` is that of the first one."""
    rows = [row for trace in traces for row in trace]
    sizes = [len(row[0].encode()) for row in rows]
    counts = [len(trace) for trace in traces]
    ends = np.cumsum([0, *counts])
    bytes_of = [sum(sizes[a:b]) for a, b in pairwise(ends)]
    starts = [sum(sizes[a:i]) for a, b in pairwise(ends) for i in range(a, b)]
    nothing: Any = np.zeros(len(rows))
    sentences = Sentences(
        start=np.array(starts, np.uint32),
        stop=np.array(starts, np.uint32) + np.array(sizes, np.uint32),
        zone=np.ones(len(rows), np.uint8),
        label=np.array([row[1] for row in rows], np.uint8),
        direction=nothing,
        p=np.array([row[2:] for row in rows], np.float32),
        margin=np.array([abs(row[2] - row[3]) for row in rows], np.float32),
        num_tokens=nothing,
        reason=nothing,
    )
    nowhere: Any = np.zeros(len(traces))
    of = Traces(
        configuration=np.array(configurations, np.uint16),
        question=nowhere,
        sample=nowhere,
        outcome=nowhere,
        first_sentence=ends.astype(np.uint32),
        first_byte=np.cumsum([0, *bytes_of]).astype(np.uint64),
        trace_id=[],
        extracted=[],
        finish=[finish, *["stop"] * len(traces)],
    )
    return telling(of, sentences, "".join(row[0] for row in rows).encode())


def places(found: list[Telling]) -> list[tuple[int, int]]:
    return [(one.trace, one.position) for one in found]


def test_the_largest_come_first_among_those_of_the_class() -> None:
    found = told(
        [0, 0, 0],
        [
            [("a", TEACHER, 0.5, 0.1, 0.5)],
            [("b", BOOSTED, 0.2, 0.1, 0.9), ("c", TEACHER, 0.9, 0.1, 0.5)],
            [("d", STUDENT, 0.1, 0.9, 0.5)],
        ],
    )
    assert places(found["teacher"]) == [(1, 1), (0, 0)]
    assert [round(one.value, 6) for one in found["teacher"]] == [0.8, 0.4]
    assert places(found["boosted"]) == [(1, 0)]
    assert round(found["boosted"][0].value, 6) == 0.7
    assert places(found["near"])[0] == (1, 0)


def test_one_text_and_one_trace_come_once() -> None:
    found = told(
        [0, 0],
        [
            [("same", TEACHER, 0.9, 0.1, 0), ("other", TEACHER, 0.8, 0.1, 0)],
            [("same", TEACHER, 0.7, 0.1, 0), ("third", TEACHER, 0.6, 0.1, 0)],
        ],
    )
    assert places(found["teacher"]) == [(0, 0), (1, 1)]


def test_no_configuration_takes_all_places() -> None:
    many = [[(f"{n}", TEACHER, 0.9, 0.1, 0.0)] for n in range(3 * NUM_TELLING)]
    few = [[(f"x{n}", TEACHER, 0.5, 0.3, 0.0)] for n in range(4)]
    found = told([0] * len(many) + [1] * len(few), [*many, *few])["teacher"]
    assert len(found) == NUM_TELLING
    assert sum(one.trace >= len(many) for one in found) == len(few)


def test_sentences_without_a_label_tell_nothing() -> None:
    found = told([0], [[("a", 255, np.nan, np.nan, np.nan)]])
    assert found == {"teacher": [], "boosted": [], "near": []}


def test_fragments_and_traces_that_were_cut_off_come_last() -> None:
    traces: list[list[Row]] = [
        [("Tom has 7 cards.", TEACHER, 0.9, 0.1, 0)],
        [(".", TEACHER, 0.8, 0.1, 0)],
        [("Mia has 5 cards.", TEACHER, 0.5, 0.1, 0)],
    ]
    finished = told([0, 0, 0], traces)["teacher"]
    assert [one.trace for one in finished] == [0, 2, 1]
    cut = told([0, 0, 0], traces, finish="length")["teacher"]
    assert [one.trace for one in cut] == [2, 0, 1]
