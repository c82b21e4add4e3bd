"""Position curves: correct solid and incorrect dashed in one plot, with bands; n below.

Bands are 95% intervals that resample questions with all their traces. The band of correct traces is
filled, that of incorrect ones hatched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from rdpt_core.report.bundle import Curve
from rdpt_core.report.figures.style import (
    GRID,
    PAGE,
    QUIET,
    SCREEN,
    grid,
    new_figure,
    note,
    styled,
    wrapped,
)
from rdpt_core.report.palette import LETTERS, LINES, TEXT, LineStyle

SIDES: dict[str, LineStyle] = {"correct": "-", "incorrect": "--"}
PANEL, NUMBERS, FRAME = 1.25, 0.42, 0.45
"""Inches: height of the shares, of the numbers of traces below them, and of titles and legend."""
TAIL = 1.15
"""How far the axis of positions reaches, over the last one that is drawn."""


@dataclass(frozen=True, slots=True)
class Panel:
    """A class of a configuration."""

    title: str
    curve: Curve
    label: str


@styled
def curves_of(name: str, curve: Curve, min_traces: int, width: float = PAGE) -> Figure:
    """One configuration, a panel for each class."""
    return _figure(name, class_panels(curve), min_traces, width)


@styled
def curves_by_configuration(
    label: str, curves: Mapping[str, Curve], min_traces: int, width: float = PAGE
) -> Figure:
    """One class, a panel for each configuration."""
    panels = [Panel(name, curve, label) for name, curve in curves.items() if label in curve.share]
    return _figure(f"{LETTERS[label]} {label}", panels, min_traces, width)


def class_panels(curve: Curve) -> list[Panel]:
    return [Panel(f"{LETTERS[label]} {label}", curve, label) for label in curve.share]


def _figure(title: str, panels: Sequence[Panel], min_traces: int, width: float) -> Figure:
    figure = new_figure(width, curves_height(panels, width))
    draw_curves(figure, panels, min_traces, width, title)
    return figure


def curves_height(panels: Sequence[Panel], width: float) -> float:
    num_rows = -(-max(len(panels), 1) // _num_columns(panels, width))
    return num_rows * (PANEL + NUMBERS) + FRAME


def _num_columns(panels: Sequence[Panel], width: float) -> int:
    return max(min(len(panels), 2 if width < SCREEN else 4), 1)


def draw_curves(
    figure: FigureBase, panels: Sequence[Panel], min_traces: int, width: float, title: str
) -> None:
    num_columns = _num_columns(panels, width)
    num_rows = -(-len(panels) // num_columns)
    grid_of = figure.subplots(
        2 * num_rows,
        num_columns,
        sharex=True,
        sharey="row",
        squeeze=False,
        height_ratios=[PANEL, NUMBERS] * num_rows,
    )
    for at in range(num_rows * num_columns):
        row, column = divmod(at, num_columns)
        above, below = grid_of[2 * row][column], grid_of[2 * row + 1][column]
        if at >= len(panels):
            above.set_axis_off()
            below.set_axis_off()
            continue
        _draw_shares(above, panels[at], min_traces)
        _draw_numbers(below, panels[at].curve, min_traces)
        above.set_title(
            wrapped(panels[at].title, int(width / num_columns * 11)), loc="left", weight="bold"
        )
        if at + num_columns >= len(panels):  # the last of its column
            below.set_xlabel(_position_words(panels[at].curve))
            below.tick_params(labelbottom=True)
    _draw_axes(grid_of, panels)
    figure.suptitle(title, color=TEXT, fontsize=7)
    _draw_legend(figure)


def _draw_axes(grid_of: Any, panels: Sequence[Panel]) -> None:
    ends = [v for p in panels for side in SIDES for v in _drawn(p.curve, p.label, side)[:, 2]]
    top = np.nanmax([*ends, 0.05])
    for row in range(0, len(grid_of), 2):
        grid_of[row][0].set_ylim(-0.02 * top, top * 1.12)
        grid_of[row][0].set_ylabel("share")
        grid_of[row + 1][0].set_ylabel("n")
        grid_of[row + 1][0].set_ylim(bottom=0)
    last = max((_last(panel.curve) for panel in panels), default=0)
    grid_of[0][0].set_xlim(0, max(last * TAIL, 2))
    grid_of[0][0].locator_params(axis="x", integer=True, nbins=5)


def _last(curve: Curve) -> float:
    """The last position at which anything is drawn: a few long traces would take half of the
    width."""
    drawn = [
        position
        for by_side in curve.share.values()
        for points in by_side.values()
        for position, (value, *_) in zip(curve.position, points, strict=True)
        if value is not None
    ]
    return max(drawn, default=0)


def _draw_shares(axes: Axes, panel: Panel, min_traces: int) -> None:
    grid(axes, "y")
    color, position = LINES[panel.label], np.asarray(panel.curve.position, float)
    absent = []
    for side, line in SIDES.items():
        drawn = _drawn(panel.curve, panel.label, side)
        if np.isnan(drawn[:, 0]).all():
            absent.append(side)
            continue
        _draw_band(axes, position, drawn, color, hatched=side == "incorrect")
        axes.plot(position, drawn[:, 0], line, color=color, gid=side, marker=_marker(drawn))
    if len(absent) == len(SIDES):
        note(axes, f"fewer than {min_traces} traces\nat every position")
    elif absent:
        note(axes, f"{absent[0]}: n < {min_traces}", height=0.97)
    axes.tick_params(labelbottom=False)


def _position_words(curve: Curve) -> str:
    pooled = f"\n({curve.width} a point)" if curve.width > 1 else ""
    return f"sentence position{pooled}"


def _marker(drawn: NDArray[np.float64]) -> str:
    """A line of one point is invisible."""
    return "." if (~np.isnan(drawn[:, 0])).sum() == 1 else ""


def _draw_band(
    axes: Axes,
    position: NDArray[np.float64],
    drawn: NDArray[np.float64],
    color: str,
    hatched: bool,
) -> None:
    looks: dict[str, Any] = {"facecolor": color, "alpha": 0.18, "linewidth": 0}
    if hatched:
        looks = {"facecolor": "none", "edgecolor": color, "alpha": 0.45, "hatch": "/////"}
        looks["linewidth"] = 0
    axes.fill_between(position, drawn[:, 1], drawn[:, 2], **looks)


def _drawn(curve: Curve, label: str, side: str) -> NDArray[np.float64]:
    """Positions x (value, low, high); NaN where there are too few traces."""
    points = curve.share.get(label, {}).get(side) or [[None] * 3 for _ in curve.position]
    return np.array(points, dtype=np.float64).reshape(len(points), 3)


def _draw_numbers(axes: Axes, curve: Curve, min_traces: int) -> None:
    """How many traces reach a position; a line where curves stop being drawn."""
    for side, line in SIDES.items():
        counts = curve.num_traces.get(side) or [0] * len(curve.position)
        axes.plot(
            curve.position, counts, line, color=QUIET, linewidth=1, drawstyle="steps-mid", gid=side
        )
    axes.axhspan(0, min_traces, color=GRID, linewidth=0, zorder=0)
    axes.locator_params(axis="y", integer=True, nbins=2)


def _draw_legend(figure: FigureBase) -> None:
    handles = [Line2D([], [], color=TEXT, linestyle=line) for line in SIDES.values()]
    figure.legend(handles, list(SIDES), loc="outside lower center", ncols=2)
