"""Shares of the classes with their intervals: a panel for each class, a bar for each configuration.

All panels have one scale, since the shares of a configuration add up to 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase

from rdpt_core.report.bundle import Number, Shown
from rdpt_core.report.figures.compared import SHARE, Panels, number, with_shares
from rdpt_core.report.figures.style import (
    COLUMN,
    QUIET,
    SCREEN,
    grid,
    name_columns,
    name_rows,
    new_figure,
    note,
    rows_height,
    styled,
    wrapped,
)
from rdpt_core.report.palette import FILLS, LETTERS, LINES, TEXT

BAR = 0.62
"""Height of a bar, as a share of its row."""
FRAME, TITLE = 0.38, 0.2
"""Inches: ticks and label of the axis, and the title of a row of panels."""
ROOM = 1.5
"""Length of the axis over the longest interval, which leaves room for the values."""


@styled
def shares(one: Panels, width: float = COLUMN) -> Figure:
    figure = new_figure(width, shares_height(one, width))
    draw_shares(figure, one, width)
    return figure


def shares_height(one: Panels, width: float) -> float:
    shown, labels = with_shares(one)
    num_rows = -(-max(len(labels), 1) // _num_columns(labels, width))
    return num_rows * (max(rows_height(_names(shown, width)), 0.3) + TITLE) + FRAME


def _num_columns(labels: Sequence[str], width: float) -> int:
    return max(min(len(labels), 2 if width < SCREEN else 4), 1)


def _names(shown: Sequence[Shown], width: float) -> list[str]:
    return [wrapped(one.name, name_columns(width)) for one in shown]


def draw_shares(figure: FigureBase, one: Panels, width: float) -> None:
    shown, labels = with_shares(one)
    if not shown:
        axes = figure.subplots()
        axes.set_axis_off()
        note(axes, "no sentence has a label")
        return
    num_columns = _num_columns(labels, width)
    panels = figure.subplots(
        -(-len(labels) // num_columns), num_columns, sharex=True, sharey=True, squeeze=False
    )
    for axes, label in zip(panels.flat, labels, strict=False):
        found = [number(each, one.benchmark, f"{SHARE}{label}") for each in shown]
        _draw_panel(axes, found, _names(shown, width), label)
    for axes in panels.flat[len(labels) :]:
        axes.set_axis_off()
    ends = [n.high or n.value or 0 for each in shown for n in _numbers(each, one)]
    panels[0][0].set_xlim(0, max([*ends, 0.01]) * ROOM)
    panels[0][0].locator_params(axis="x", nbins=4)
    figure.supxlabel(f"share of sentences on {one.benchmark}, 95% interval", fontsize=7)


def _numbers(shown: Shown, one: Panels) -> list[Number]:
    return [number(shown, one.benchmark, f"{SHARE}{label}") for label in one.labels]


def _draw_panel(axes: Axes, found: Sequence[Number], names: Sequence[str], label: str) -> None:
    places = name_rows(axes, names)
    axes.spines["left"].set_visible(True)
    grid(axes, "x")
    axes.set_title(f"{LETTERS[label]} {label}", loc="left", color=LINES[label], weight="bold")
    values = [np.nan if n.value is None else n.value for n in found]
    heights = [BAR * 0.19] * len(places)
    axes.barh(places, values, heights, color=FILLS[label], edgecolor=LINES[label], linewidth=0.8)
    for y, one in zip(places, found, strict=True):
        if one.value is None:
            axes.annotate(
                "no value",
                (0, y),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=6,
                color=QUIET,
            )
            continue
        end = one.value
        if one.low is not None and one.high is not None:
            end = one.high
            axes.plot([one.low, one.high], [y, y], color=TEXT, linewidth=1, gid="interval")
        axes.annotate(
            f"{one.value:.1%}",
            (end, y),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=6,
        )
