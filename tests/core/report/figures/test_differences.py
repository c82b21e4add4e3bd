"""Differences show the bundle's numbers, around zero, and what would be found."""

from __future__ import annotations

from matplotlib.patches import Rectangle

from rdpt_core.report.figures.compared import compared
from rdpt_core.report.figures.differences import accuracy_differences, class_differences
from tests.core.report.figures.bundles import FOUR, bundle
from tests.core.report.figures.reading import lines, words, x_of


def test_points_and_intervals_are_those_of_the_bundle() -> None:
    found = bundle(["random", "longest"])
    numbers = [d.number for d in found.differences if d.metric == "accuracy"]
    (axes,) = accuracy_differences(compared(found, "bench")).axes
    assert [x_of(line)[0] for line in lines(axes, "value")] == [n.value for n in numbers]
    intervals = [tuple(x_of(line)) for line in lines(axes, "interval")]
    assert intervals == [(n.low, n.high) for n in numbers]
    assert [0.0, 0.0] in [x_of(line) for line in axes.get_lines()]


def test_the_smallest_detectable_difference_is_a_bar_to_both_sides_of_zero() -> None:
    (axes,) = accuracy_differences(compared(bundle(), "bench")).axes
    bars = [bar for bar in axes.patches if isinstance(bar, Rectangle)]
    assert [(bar.get_x(), bar.get_width()) for bar in bars] == [(-0.064, 0.128)] * 2


def test_questions_gained_and_lost_are_written() -> None:
    assert "+0.410 (+30 -12)" in words(accuracy_differences(compared(bundle(), "bench")))


def test_a_difference_without_a_value_says_so() -> None:
    assert "no value" in words(accuracy_differences(compared(bundle(missing=True), "bench")))


def test_each_class_has_a_panel() -> None:
    found = bundle()
    figure = class_differences(compared(found, "bench"))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["T teacher", "S student", "= shared", "+ boosted"]
    for label, axes in zip(FOUR, figure.axes, strict=True):
        values = [d.number.value for d in found.differences if d.metric == label]
        assert [x_of(line)[0] for line in lines(axes, "value")] == values


def test_one_arm_has_nothing_to_compare_its_classes_with() -> None:
    figure = class_differences(compared(bundle(["random"]), "bench"))
    assert "no arms to compare" in words(figure)
