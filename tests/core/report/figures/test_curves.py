"""Position curves show the bundle's numbers: correct solid, incorrect dashed, n below."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from numpy.typing import NDArray

from rdpt_core.report.bundle import Curve
from rdpt_core.report.figures.curves import curves_by_configuration, curves_of
from tests.core.report.figures.bundles import FOUR, curve
from tests.core.report.figures.reading import lines, words, x_of, y_of

MIN_TRACES = 10


def expected(one: Curve, label: str, side: str) -> NDArray[np.float64]:
    return np.array(one.share[label][side], dtype=np.float64)


def test_lines_are_those_of_the_bundle_with_gaps_below_the_least_number() -> None:
    one = curve()
    panels = curves_of("random", one, MIN_TRACES).axes[: len(FOUR)]
    for label, axes in zip(FOUR, panels, strict=True):
        for side, style in (("correct", "-"), ("incorrect", "--")):
            (line,) = lines(axes, side)
            assert line.get_linestyle() == style
            assert x_of(line) == one.position
            np.testing.assert_array_equal(y_of(line), expected(one, label, side)[:, 0])
    assert np.isnan(expected(one, "teacher", "correct")).any()


def test_bands_reach_from_low_to_high() -> None:
    one = curve()
    axes = curves_of("random", one, MIN_TRACES).axes[0]
    for band, side in zip(axes.collections, ("correct", "incorrect"), strict=True):
        drawn = np.concatenate([path.vertices for path in band.get_paths()])[:, 1]
        values = expected(one, "teacher", side)[:, 1:]
        assert {round(v, 9) for v in drawn} == {round(v, 9) for v in values[~np.isnan(values)]}


def test_the_band_of_incorrect_traces_differs_without_colour() -> None:
    axes = curves_of("random", curve(), MIN_TRACES).axes[0]
    assert [band.get_hatch() for band in axes.collections] == [None, "/////"]


def test_numbers_of_traces_stand_below() -> None:
    one = curve()
    below = curves_of("random", one, MIN_TRACES).axes[len(FOUR)]
    for side, counts in one.num_traces.items():
        assert y_of(*lines(below, side)) == counts


def test_without_correct_traces_the_incorrect_are_drawn_alone() -> None:
    figure = curves_of("random", curve(num_correct=0), MIN_TRACES)
    assert "correct: n < 10" in words(figure)
    assert not lines(figure.axes[0], "correct")
    assert lines(figure.axes[0], "incorrect")


def test_with_few_traces_throughout_the_figure_says_so() -> None:
    none = Curve(
        configuration=0,
        benchmark=0,
        position=[1, 2],
        num_traces={"correct": [3, 1], "incorrect": [2, 2]},
        share={label: {s: [[None] * 3] * 2 for s in ("correct", "incorrect")} for label in FOUR},
    )
    assert "fewer than 10 traces\nat every position" in words(curves_of("a", none, MIN_TRACES))


def test_a_single_point_is_visible() -> None:
    figure = curves_of("random", curve(num_positions=1), MIN_TRACES)
    assert [line.get_marker() for line in lines(figure.axes[0], "correct")] == ["."]


@pytest.mark.parametrize("num", [1, 5])
def test_one_class_has_a_panel_for_each_configuration(num: int) -> None:
    named = {f"arm-{i}": curve(i) for i in range(num)}
    figure = curves_by_configuration("teacher", named, MIN_TRACES)
    titled: list[Axes] = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in titled] == list(named)
    assert "T teacher" in words(figure)
