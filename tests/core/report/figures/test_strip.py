"""The strip of a trace shows its sentences: probabilities, classes, and what is undetermined."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle

from rdpt_core.report.figures.strip import Strip, strip, strip_of
from rdpt_core.report.palette import ROLES
from tests.core.report.figures.bundles import LABELS, bundle
from tests.core.report.figures.reading import lines, words, x_of, y_of


@pytest.fixture
def one() -> Strip:
    return strip_of(bundle(num_sentences=24), 0)


def test_lines_are_the_probabilities(one: Strip) -> None:
    above, _ = strip(one).axes
    for role, p in zip(ROLES, one.p.T, strict=True):
        (line,) = lines(above, role)
        assert x_of(line) == list(range(1, 24))
        np.testing.assert_array_equal(y_of(line), p)


def test_tags_are_left_out() -> None:
    assert len(strip_of(bundle(num_sentences=24), 0).label) == 23


def test_the_ground_is_the_class_of_every_sentence(one: Strip) -> None:
    above, _ = strip(one).axes
    ground = [p for p in above.patches if isinstance(p, Rectangle) and p.get_gid()]
    found: list[str | None] = [None] * len(one.label)
    for patch in ground:
        start, stop = patch.get_x() + 0.5, patch.get_x() + 0.5 + patch.get_width()
        for i in range(round(start), round(stop)):
            found[i - 1] = str(patch.get_gid()).removeprefix("ground ")
    assert found == one.label


def test_lanes_mark_the_sentences_of_each_class(one: Strip) -> None:
    _, below = strip(one).axes
    names = [label.get_text() for label in below.get_yticklabels()]
    assert names == ["T teacher", "S student", "= shared", "+ boosted"]
    for marks in below.collections:
        assert isinstance(marks, LineCollection)
        position = [int(segment[0][0]) for segment in marks.get_segments()]
        assert position == [i for i, name in enumerate(one.label, 1) if name == marks.get_gid()]


def test_the_band_is_beta_around_the_student(one: Strip) -> None:
    above, _ = strip(one).axes
    (band,) = (c for c in above.collections if c.get_gid() == "beta band")
    drawn = {
        round(float(y), 6) for path in band.get_paths() for y in np.asarray(path.vertices)[:, 1]
    }
    student = one.p[:-1, ROLES.index("student")].astype(float)
    assert drawn == {round(float(y), 6) for y in (*(student - 0.1), *(student + 0.1))}


def test_undetermined_sentences_are_hatched(one: Strip) -> None:
    above, _ = strip(one).axes
    hatched = [p for p in above.patches if p.get_hatch()]
    runs = [known for known, _ in groupby(zip(one.label, one.undetermined, strict=True))]
    assert len(hatched) == sum(undetermined for _, undetermined in runs) > 0


def test_lines_of_a_long_trace_are_means_and_the_axis_says_so() -> None:
    one = strip_of(bundle(num_sentences=1501), 0)
    above, _ = strip(one).axes
    assert above.get_ylabel() == "probability,\nmean of 5"
    (line,) = lines(above, "teacher")
    assert y_of(line)[700] == pytest.approx(one.p[698:703, 0].mean(), abs=1e-6)


def test_without_a_distilled_student_two_lines_and_common_are_drawn() -> None:
    p = np.array([[0.9, 0.3, np.nan], [0.5, 0.5, np.nan]])
    figure = strip(Strip("two", LABELS, ["teacher", "common"], p, np.zeros(2, bool), 0.1))
    above, below = figure.axes
    assert [bool(lines(above, role)) for role in ROLES] == [True, True, False]
    assert "= common" in [label.get_text() for label in below.get_yticklabels()]


def test_a_trace_without_a_sentence_says_so() -> None:
    empty = Strip("none", LABELS, [], np.zeros((0, 3)), np.zeros(0, bool), 0.1)
    assert "no sentence" in words(strip(empty))
