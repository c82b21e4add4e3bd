"""The labelling rule against the published labels of Figure 5 of arXiv 2601.09088."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rdpt_core.provenance.labels import DIRECTIONS, LABELS, Floats, LabelRule, label
from rdpt_core.tables.rows import Direction, Label

FIGURE = Path(__file__).parent / "dasd_fig5_180.csv"


@dataclass(frozen=True)
class Figure:
    p_teacher: Floats
    p_student: Floats
    p_distilled: Floats
    labels: list[Label]


@pytest.fixture(scope="module")
def figure() -> Figure:
    with FIGURE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    teacher, student, distilled = (
        np.array([float(row[name]) for row in rows])
        for name in ("p_teacher", "p_student", "p_distilled")
    )
    return Figure(teacher, student, distilled, [Label(row["label"].lower()) for row in rows])


def four_way(figure: Figure, alpha: float, beta: float) -> list[Label]:
    rule = LabelRule(alpha=alpha, beta=beta)
    found = label(figure.p_teacher, figure.p_student, figure.p_distilled, rule)
    return [LABELS[code] for code in found.label]


@pytest.mark.parametrize(
    ("alpha", "beta", "agree", "counts"),
    [
        (0.10, 0.10, 180, (96, 49, 26, 9)),
        (0.10, 0.05, 164, (110, 49, 10, 11)),
        (0.05, 0.10, 156, (96, 25, 50, 9)),
        (0.10, 0.15, 154, (76, 49, 52, 3)),
        (0.15, 0.10, 160, (91, 69, 14, 6)),
    ],
)
def test_labels_of_the_figure(
    figure: Figure, alpha: float, beta: float, agree: int, counts: tuple[int, ...]
) -> None:
    found = four_way(figure, alpha, beta)
    assert sum(a == b for a, b in zip(found, figure.labels, strict=True)) == agree
    order = (Label.TEACHER, Label.SHARED, Label.BOOSTED, Label.STUDENT)
    assert tuple(Counter(found)[name] for name in order) == counts


def test_three_way_splits_shared_and_boosted_out_of_common(figure: Figure) -> None:
    found = label(figure.p_teacher, figure.p_student, None, LabelRule(beta=0.1))
    counts = Counter(LABELS[code] for code in found.label)
    assert counts == {Label.TEACHER: 96, Label.STUDENT: 9, Label.COMMON: 49 + 26}


def test_all_boosted_sentences_of_the_figure_are_up(figure: Figure) -> None:
    found = label(figure.p_teacher, figure.p_student, figure.p_distilled, LabelRule())
    turns = [
        DIRECTIONS[turn]
        for turn, code in zip(found.direction, found.label, strict=True)
        if LABELS[code] == Label.BOOSTED
    ]
    assert turns == [Direction.UP] * 26


@pytest.mark.parametrize(("first", "second", "share"), [(0.05, 0.10, 28), (0.10, 0.15, 26)])
def test_flips_of_three_way_labels_have_a_closed_form(
    figure: Figure, first: float, second: float, share: int
) -> None:
    before, after = (
        label(figure.p_teacher, figure.p_student, None, LabelRule(beta=beta)).label
        for beta in (first, second)
    )
    assert int((before != after).sum()) == share
