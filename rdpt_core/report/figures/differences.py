"""Paired differences between arms with their intervals, around zero.

The bar behind a row reaches to the smallest difference that the questions would show with a power
of 80%: an interval that crosses zero inside of it says little.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from rdpt_core.report.bundle import Difference
from rdpt_core.report.figures.accuracies import NO_VALUE, draw_interval
from rdpt_core.report.figures.compared import ACCURACY, Panels, of_metric
from rdpt_core.report.figures.style import (
    COLUMN,
    GRID,
    PAGE,
    grid,
    name_columns,
    name_rows,
    new_figure,
    note,
    rows_height,
    styled,
    wrapped,
)
from rdpt_core.report.palette import LETTERS, LINES, TEXT

FRAME, TITLE = 0.54, 0.2


@styled
def accuracy_differences(one: Panels, width: float = COLUMN) -> Figure:
    figure = new_figure(width, differences_height(one, width))
    draw_differences(figure.subplots(), one, width)
    return figure


def differences_height(one: Panels, width: float) -> float:
    return max(rows_height(_names(of_metric(one, ACCURACY), width)), 0.3) + FRAME


@styled
def class_differences(one: Panels, width: float = COLUMN) -> Figure:
    """A panel for each class."""
    labels = [label for label in one.labels if of_metric(one, label)]
    num_columns = max(min(len(labels), 1 if width < PAGE else 2), 1)
    num_rows = -(-max(len(labels), 1) // num_columns)
    rows = max([rows_height(_names(of_metric(one, label), width)) for label in labels], default=0.3)
    figure = new_figure(width, num_rows * (rows + TITLE) + FRAME)
    _draw_classes(figure, one, labels, (num_rows, num_columns), width)
    return figure


def _draw_classes(
    figure: FigureBase, one: Panels, labels: Sequence[str], shape: tuple[int, int], width: float
) -> None:
    panels = figure.subplots(*shape, sharex=True, squeeze=False)
    for axes, label in zip(panels.flat, labels, strict=False):
        draw_differences(axes, one, width, label)
        axes.set_title(f"{LETTERS[label]} {label}", loc="left", color=LINES[label], weight="bold")
        axes.set_xlabel("")
    for axes in panels.flat[len(labels) :]:
        axes.set_axis_off()
    if not labels:
        note(panels.flat[0], "no arms to compare")
    figure.supxlabel(f"difference in share on {one.benchmark}, 95% interval", fontsize=7)


def draw_differences(axes: Axes, one: Panels, width: float, metric: str = ACCURACY) -> None:
    found = of_metric(one, metric)
    places = name_rows(axes, _names(found, width))
    grid(axes, "x")
    axes.axvline(0, color=TEXT, linewidth=0.8)
    color = LINES.get(metric, TEXT)
    for difference, y in zip(found, places, strict=True):
        least = difference.detectable
        if least is not None:
            axes.barh([y], [2 * least], 0.13, left=-least, color=GRID, zorder=1.5)
        draw_interval(axes, difference.number, y, "o", color=color, text=_text(difference))
    axes.margins(x=0.04)
    axes.set_xlabel(f"difference in accuracy on {one.benchmark}, 95% interval{_legend(found)}")
    if not found:
        axes.set_axis_off()
        note(axes, "no arms to compare")


def _legend(found: Sequence[Difference]) -> str:
    parts = []
    if any(each.gained is not None for each in found):
        parts.append("(questions gained and lost)")
    if any(each.detectable is not None for each in found):
        parts.append("grey: smallest detectable")
    return "\n" + ", ".join(parts) if parts else ""


def _names(found: Sequence[Difference], width: float) -> list[str]:
    columns = name_columns(width)
    return [wrapped(f"{each.first} - {each.second}", columns) for each in found]


def _text(difference: Difference) -> str:
    """Such as `+0.050 (+23 -11)`: the value, and the questions gained and lost."""
    if difference.number.value is None:
        return NO_VALUE
    shown = f"{difference.number.value:+.3f}"
    if difference.gained is None or difference.lost is None:
        return shown
    return f"{shown} (+{difference.gained} -{difference.lost})"
