"""The bars of classes show the bundle's numbers."""

from __future__ import annotations

from matplotlib.patches import Rectangle

from rdpt_core.report.figures.compared import compared
from rdpt_core.report.figures.shares import shares
from tests.core.report.figures.bundles import FOUR, bundle
from tests.core.report.figures.reading import lines, words, x_of


def test_bars_and_intervals_are_those_of_the_bundle() -> None:
    found = bundle(["random", "longest"])
    panels = shares(compared(found, "bench")).axes
    assert len(panels) == len(FOUR)
    for label, axes in zip(FOUR, panels, strict=True):
        metrics = [c.results["bench"] for c in found.configurations[2:]]
        numbers = [one[f"provenance/share/{label}"] for one in metrics]
        bars = [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]
        assert bars == [number.value for number in numbers]
        intervals = [tuple(x_of(line)) for line in lines(axes, "interval")]
        assert intervals == [(number.low, number.high) for number in numbers]


def test_panels_are_named_by_letter_and_class() -> None:
    titles = [axes.get_title(loc="left") for axes in shares(compared(bundle(), "bench")).axes]
    assert titles == ["T teacher", "S student", "= shared", "+ boosted"]


def test_configurations_without_a_share_have_no_row() -> None:
    figure = shares(compared(bundle(missing=True), "bench"))
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["random"]


def test_without_any_share_the_figure_says_so() -> None:
    found = compared(bundle(["random"], missing=True), "bench")
    assert "no sentence has a label" in words(shares(found))
