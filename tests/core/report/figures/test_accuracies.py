"""The dots of accuracies show the bundle's numbers."""

from __future__ import annotations

import pytest

from rdpt_core.report.bundle import Bundle
from rdpt_core.report.figures.accuracies import accuracies
from rdpt_core.report.figures.compared import compared
from tests.core.report.figures.bundles import bundle
from tests.core.report.figures.reading import lines, words, x_of


def accuracy_of(found: Bundle) -> dict[str, tuple[float | None, float | None, float | None]]:
    numbers = {c.name: c.results["bench"]["accuracy"] for c in found.configurations}
    return {name: (n.value, n.low, n.high) for name, n in numbers.items()}


def test_dots_and_intervals_are_those_of_the_bundle_best_first() -> None:
    found = bundle(["random", "longest"])
    (axes,) = accuracies(compared(found, "bench")).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["big (teacher)", "random", "longest", "small\n(undistilled)"]
    dots = [x_of(line)[0] for line in lines(axes, "value")]
    intervals = [tuple(x_of(line)) for line in lines(axes, "interval")]
    expected = [accuracy_of(found)[name] for name in ("big", "random", "longest", "small")]
    assert dots == [value for value, _, _ in expected]
    assert intervals == [(low, high) for _, low, high in expected]


def test_teacher_and_undistilled_student_are_dashed_lines() -> None:
    found = bundle()
    (axes,) = accuracies(compared(found, "bench")).axes
    dashed = {x_of(line)[0] for line in axes.get_lines() if line.get_linestyle() == "--"}
    assert dashed == {accuracy_of(found)["big"][0], accuracy_of(found)["small"][0]}


def test_a_configuration_without_a_value_says_so_in_the_last_row() -> None:
    figure = accuracies(compared(bundle(missing=True), "bench"))
    (axes,) = figure.axes
    assert axes.get_yticklabels()[-1].get_text() == "longest"
    assert "no value" in words(figure)
    assert len(lines(axes, "interval")) == 3


@pytest.mark.parametrize("width", [3.3, 6.8])
def test_the_figure_is_as_wide_as_asked(width: float) -> None:
    assert accuracies(compared(bundle(), "bench"), width).get_figwidth() == width
