"""What a figure shows, read back from its artists."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from rdpt_core.report.figures.style import DPI


def lines(axes: Axes, gid: str) -> list[Line2D]:
    return [line for line in axes.get_lines() if line.get_gid() == gid]


def x_of(line: Line2D) -> list[float]:
    return [float(x) for x in np.asarray(line.get_xdata())]


def y_of(line: Line2D) -> list[float]:
    return [float(y) for y in np.asarray(line.get_ydata())]


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def is_cut(figure: Figure) -> bool:
    """True if anything leaves the figure, as it is drawn."""
    box = figure.get_tightbbox(_drawn(figure))
    width, height = figure.get_size_inches()
    return bool(min(box.x0, box.y0, width - box.x1, height - box.y1) < -1 / DPI)


def covered(figure: Figure) -> Iterator[tuple[str, str]]:
    """Names of rows that overlap."""
    renderer = _drawn(figure)
    for axes in figure.axes:
        labels = [label for label in axes.get_yticklabels() if label.get_text()]
        for one, other in pairwise(labels):
            a, b = (label.get_window_extent(renderer) for label in (one, other))
            if a.y0 < b.y1 - 1 and b.y0 < a.y1 - 1:
                yield one.get_text(), other.get_text()


def _drawn(figure: Figure) -> RendererAgg:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return canvas.get_renderer()  # type: ignore[no-untyped-call]
