"""Accuracies with their intervals as dots; teacher and undistilled student as dashed lines."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rdpt_core.report.bundle import Number, Shown
from rdpt_core.report.figures.compared import ACCURACY, BASELINES, Panels, has_accuracy, number
from rdpt_core.report.figures.style import (
    COLUMN,
    QUIET,
    grid,
    name_columns,
    name_rows,
    new_figure,
    note,
    rows_height,
    styled,
    wrapped,
)
from rdpt_core.report.palette import GROUND, TEXT

MARKERS = {"teacher": "s", "student": "s", "mean": "D"}
"""Markers of kinds; a single run is a circle."""
NO_VALUE = "no value"
FRAME = 0.42
"""Inches above and below the rows."""


@styled
def accuracies(one: Panels, width: float = COLUMN) -> Figure:
    figure = new_figure(width, accuracies_height(one, width))
    draw_accuracies(figure.subplots(), one, width)
    return figure


def accuracies_height(one: Panels, width: float) -> float:
    return max(rows_height(_row_names(one, width)), 0.4) + FRAME


def _row_names(one: Panels, width: float) -> list[str]:
    return [wrapped(_name(shown), name_columns(width)) for shown in one.shown]


def _name(shown: Shown) -> str:
    """The name, and what a baseline is; where names collide, they say their kind already."""
    what = {"teacher": "teacher", "student": "undistilled"}.get(shown.kind)
    name = shown.name.removesuffix(f" ({shown.kind})")
    return f"{name} ({what})" if what else shown.name


def draw_accuracies(axes: Axes, one: Panels, width: float) -> None:
    places = name_rows(axes, _row_names(one, width))
    grid(axes, "x")
    for shown, y in zip(one.shown, places, strict=True):
        found = number(shown, one.benchmark, ACCURACY)
        if shown.kind in BASELINES and found.value is not None:
            axes.axvline(found.value, color=QUIET, linestyle="--", linewidth=0.9, zorder=1)
        text = NO_VALUE if found.value is None else f"{found.value:.3f}"
        marker = MARKERS.get(shown.kind, "o")
        draw_interval(axes, found, y, marker, text, hollow=shown.kind in BASELINES)
    axes.set_xlabel(f"accuracy on {one.benchmark}, 95% interval")
    axes.margins(x=0.04)
    if not has_accuracy(one):
        axes.set_xlim(0, 1)
    if not one.shown:
        note(axes, "no results yet")


def draw_interval(
    axes: Axes,
    found: Number,
    y: float,
    marker: str,
    text: str,
    hollow: bool = False,
    color: str = TEXT,
) -> None:
    """A dot on its interval, and `text` at the right edge."""
    value = np.nan if found.value is None else found.value
    if found.low is not None and found.high is not None:
        axes.plot([found.low, found.high], [y, y], color=color, linewidth=1.1, gid="interval")
    axes.plot(
        [value],
        [y],
        marker,
        color=color,
        markerfacecolor=GROUND if hollow else color,
        markersize=4,
        markeredgewidth=1,
        gid="value",
    )
    axes.annotate(
        text,
        (1, y),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=6.5,
        color=QUIET if found.value is None else TEXT,
    )
