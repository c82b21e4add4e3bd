"""What all figures share: widths of a paper's columns, type, and files that repeat byte for byte.

PDF files embed their font, so text can be searched and edited (type 42). SVG files hold text as
outlines, since a browser or a paper's printer may not have the font.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Literal, ParamSpec

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from rdpt_core.report.palette import GROUND, TEXT

P = ParamSpec("P")

Format = Literal["svg", "pdf", "png"]
FORMATS: tuple[Format, ...] = ("svg", "pdf", "png")
COLUMN, PAGE = 3.3, 6.8
"""Inches; one column and both columns of a paper."""
SCREEN = 5.2
"""Inches; in a pane of 590 px, type of 7 points is 11 px high."""
ROW, LINE = 0.19, 0.115
"""Inches; height of a row of one line of text, and of each further line."""
DPI = 300
QUIET, GRID = "#6B6B6B", "#DDDDDD"
RC = {
    "figure.facecolor": GROUND,
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "figure.titlesize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.edgecolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "axes.unicode_minus": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "rdpt",
}
METADATA: dict[Format, dict[str, None]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
"""None leaves out what differs between two days or two releases of matplotlib."""
DIGITS = 6
"""Decimals of a place in a figure, which is 1 wide and 1 high."""
_DRAWING = threading.RLock()
"""matplotlib's settings belong to the process; two threads would take each other's back."""


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """The function under our settings alone, whatever the reader's matplotlibrc holds."""

    @wraps(draw)
    def inner(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with _DRAWING, style.context(["default", RC]):
            return draw(*args, **kwargs)

    return inner


def save(figure: Figure, format: Format, dpi: int = DPI) -> bytes:
    """The figure as a file's bytes, the same each time."""
    data = io.BytesIO()
    with _DRAWING, style.context(["default", RC]):
        _lay_out(figure)
        figure.savefig(data, format=format, dpi=dpi, metadata=METADATA[format])
    return data.getvalue()


def _lay_out(figure: Figure) -> None:
    """Lays the figure out once and rounds what comes of it: the solver of matplotlib's layout
    leaves the last bits to chance, and in an SVG they reach coordinates and identifiers."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for part in figure.subfigs:
        part.bbox_relative.set_points(part.bbox_relative.get_points().round(DIGITS))
    for axes in figure.axes:
        axes.set_position(Bbox(axes.get_position().get_points().round(DIGITS)))
    for text in (text for part in (figure, *figure.subfigs) for text in part.texts):
        x, y = text.get_position()
        text.set_position((round(x, DIGITS), round(y, DIGITS)))


def new_figure(width: float, height: float) -> Figure:
    """A Figure of its own draws with Agg; pyplot's global state is not safe beside threads."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.04, h_pad=0.04)  # type: ignore[union-attr, call-arg]
    return figure


# ---------------------------------------------------------------------------- names of rows


def wrapped(name: str, columns: int) -> str:
    """A name in lines of at most `columns` characters, broken after `-`, `_`, `/` or a space where
    there is one."""
    lines = [""]
    for piece in re.findall(r"[^-_/ ]*[-_/ ]+|[^-_/ ]+", name):
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > columns:
            lines.append("")
        lines[-1] += piece
        while len(lines[-1]) > columns:
            lines[-1:] = [lines[-1][:columns], lines[-1][columns:]]
    return "\n".join(line.strip() for line in lines if line.strip())


def name_columns(width: float) -> int:
    """Characters of a line of a row's name, which takes a third of the figure at most."""
    return int(width * 5.3)


def rows_height(names: Sequence[str]) -> float:
    """Inches that so many named rows take."""
    return sum(ROW + LINE * name.count("\n") for name in names)


def name_rows(axes: Axes, names: Sequence[str]) -> list[float]:
    """Names the rows of an axes from the top, each as high as its lines; returns their places."""
    heights = [ROW + LINE * name.count("\n") for name in names]
    places = [sum(heights[:i]) + heights[i] / 2 for i in range(len(names))]
    axes.set_yticks(places, names)
    axes.set_ylim(sum(heights), 0)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return places


def note(axes: Axes, text: str, height: float = 0.5) -> None:
    """Words where there is nothing to draw; the height is a share of that of the axes."""
    axes.text(0.5, height, text, ha="center", va="center", transform=axes.transAxes, color=QUIET)


def grid(axes: Axes, axis: Literal["x", "y"]) -> None:
    axes.grid(axis=axis, color=GRID, linewidth=0.5)
