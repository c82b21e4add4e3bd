"""Figures, as PNG bytes. Never by colour alone: letter, line style and colour say the same."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from rdpt_core.provenance.curves import SIDES, CurveRule, Curves, PositionCounts, curves
from rdpt_core.provenance.labels import FOUR_WAY, LABELS
from rdpt_core.report.palette import LETTERS, LINES, STYLES, TEXT
from rdpt_core.tables.rows import Label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 5.9, 4.6
"""Inches; the shape of the pane, some 590 px wide, in which MLflow shows artifacts."""
DPI = 150
TAIL = 1.25
"""How far the axis of positions reaches, over the last one that is drawn."""
LETTER_HEIGHT = 0.055
"""Height of a letter at the end of a line, as a share."""


def class_shares(
    counts: PositionCounts,
    title: str,
    min_traces: int,
    labels: tuple[Label, ...] = FOUR_WAY,
    rule: CurveRule | None = None,
) -> bytes:
    """Shares of the classes by sentence position, correct and incorrect traces apart, over the
    number of traces at each position. Positions with fewer than `min_traces` are not drawn."""
    # A Figure of its own draws with Agg; pyplot's global state is not safe beside other threads.
    from matplotlib.figure import Figure

    found = curves(counts, rule or CurveRule())
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, layout="constrained")
    axes = figure.subplots(
        2, len(SIDES), sharex=True, sharey="row", height_ratios=(4, 1), squeeze=False
    )
    for side, name in enumerate(SIDES):
        _draw_shares(axes[0][side], found, side, min_traces, labels)
        _draw_numbers(axes[1][side], found, side, min_traces)
        n = int(found.num_traces[side].max(initial=0))
        axes[0][side].set_title(f"{name}, n = {n}", fontsize=9, color=TEXT)
    last = np.flatnonzero((found.num_traces >= min_traces).any(axis=0)).max(initial=-1)
    if last >= 0:  # a few long traces would take half of the width
        axes[0][0].set_xlim(0, (last + 1) * TAIL + 1)
    axes[0][0].locator_params(axis="x", integer=True)
    axes[0][0].set_ylabel("share of sentences", fontsize=8)
    axes[1][0].set_ylabel("traces", fontsize=8)
    figure.suptitle(title, fontsize=10, color=TEXT)
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(
        handles,
        names,
        loc="outside lower center",
        ncols=len(labels),
        fontsize=8,
        frameon=False,
        handlelength=3.2,
    )
    data = io.BytesIO()
    figure.savefig(data, format="png", metadata={"Software": None})
    return data.getvalue()


def _draw_shares(
    axes: Axes, found: Curves, side: int, min_traces: int, labels: tuple[Label, ...]
) -> None:
    position = np.arange(1, found.share.shape[1] + 1)
    enough = found.num_traces[side] >= min_traces
    ends: list[tuple[float, Label]] = []
    for name in labels:
        share = np.where(enough, found.share[side, :, LABELS.index(name)], np.nan)
        axes.plot(
            position,
            share,
            STYLES[name],
            color=LINES[name],
            linewidth=1.6,
            label=f"{LETTERS[name]} {name}",
        )
        ends += [(float(value), name) for value in share[enough][-1:]]
    _letters(axes, float(position[enough].max(initial=0)), sorted(ends))
    if not enough.any():
        axes.text(
            0.5,
            0.5,
            f"fewer than {min_traces} traces\nat every position",
            fontsize=8,
            ha="center",
            va="center",
            transform=axes.transAxes,
            color=TEXT,
        )
    axes.set_ylim(-0.02, 1.02)
    _quiet(axes)


def _letters(axes: Axes, last: float, ends: list[tuple[float, Label]]) -> None:
    """Each class's letter where its line ends, moved up where it would cover the one below."""
    height = -1.0
    for value, name in ends:
        height = max(value, height + LETTER_HEIGHT)
        axes.annotate(
            LETTERS[name],
            (last, height),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            weight="bold",
            color=LINES[name],
        )


def _draw_numbers(axes: Axes, found: Curves, side: int, min_traces: int) -> None:
    """How many traces reach a position; dotted where the curve stops being drawn."""
    position = np.arange(1, found.share.shape[1] + 1)
    axes.fill_between(position, found.num_traces[side], step="mid", color="#CCCCCC")
    axes.axhline(min_traces, linestyle=":", linewidth=0.8, color=TEXT)
    axes.set_xlabel("sentence position", fontsize=8)
    _quiet(axes)


def _quiet(axes: Axes) -> None:
    axes.tick_params(labelsize=7, colors=TEXT)
    axes.spines[["top", "right"]].set_visible(False)
