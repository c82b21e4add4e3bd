"""The strip of one trace: probabilities of its sentences by position, on ground of their classes.

The band is the student's probability plus and minus beta: a sentence whose teacher line leaves it
upwards is Teacher, downwards Student (unless Shared). Below, a lane for each class holds a mark for
each of its sentences, so that classes can be told apart without colour in a trace of any length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from rdpt_core.report.bundle import Bundle
from rdpt_core.report.figures.style import PAGE, QUIET, new_figure, note, styled, wrapped
from rdpt_core.report.palette import (
    FILLS,
    LETTERS,
    LINES,
    ROLE_LINES,
    ROLE_STYLES,
    ROLES,
)

HEIGHT, LEGEND_ROW = 2.2, 0.16
"""Inches; of all but the legend, and of a row of that."""
LANES = 0.5
"""Height of the lanes, as a share of that of the probabilities."""
MARKED = 60
"""Sentences up to which each has a marker on the lines."""
MOST = 300
"""Points of a line. In a longer trace each is a mean over several sentences, as the axis says."""
TAG, NONE = 0, 255
"""Codes of the bundle: zone of a tag, a sentence without a label."""


@dataclass(frozen=True, slots=True)
class Strip:
    """One element a sentence, tags left out."""

    title: str
    labels: list[str]
    """Names of the lanes."""
    label: list[str | None]
    p: NDArray[np.floating]
    """Sentences x ROLES; NaN where there is none."""
    undetermined: NDArray[np.bool_]
    """True where the noise of the scorers could turn the label."""
    beta: float


def strip_of(bundle: Bundle, trace: int) -> Strip:
    rows = bundle.sentences
    first, stop = (int(bundle.traces.first_sentence[trace + i]) for i in (0, 1))
    kept = first + np.flatnonzero(rows.zone[first:stop] != TAG)
    near = bundle.near[int(bundle.traces.configuration[trace])]
    return Strip(
        strip_title(bundle, trace),
        bundle.labels,
        [None if code == NONE else bundle.labels[code] for code in rows.label[kept]],
        rows.p[kept],
        rows.margin[kept] < near,
        float(bundle.rule["beta"]),
    )


def strip_title(bundle: Bundle, trace: int) -> str:
    configuration = bundle.configurations[int(bundle.traces.configuration[trace])].name
    outcome = bundle.outcomes[int(bundle.traces.outcome[trace])]
    return f"{configuration}, trace {bundle.traces.trace_id[trace][:12]}, {outcome}"


@styled
def strip(one: Strip, width: float = PAGE) -> Figure:
    handles, num_columns = _handles(one), 5 if width >= PAGE else 2
    figure = new_figure(width, HEIGHT + LEGEND_ROW * -(-len(handles) // num_columns))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1, LANES])
    _draw_ground(above, one)
    _draw_probabilities(above, one)
    _draw_lanes(below, one)
    above.set_title(wrapped(one.title, int(width * 14)), loc="left")
    above.set_xlim(0.5, max(len(one.label), 1) + 0.5)
    above.tick_params(labelbottom=False)
    below.locator_params(axis="x", integer=True)
    below.set_xlabel("sentence position")
    figure.legend(handles=handles, loc="outside lower center", ncols=num_columns)
    if not one.label:
        note(above, "no sentence")
    return figure


def _draw_ground(axes: Axes, one: Strip) -> None:
    """Neighbours of one class are one rectangle, or 2,000 sentences leave hairlines between."""
    for name, undetermined, start, stop in _runs(one):
        if name is None:
            continue
        axes.axvspan(start, stop, color=FILLS[name], linewidth=0, zorder=0, gid=f"ground {name}")
        if undetermined:
            axes.axvspan(
                start,
                stop,
                facecolor="none",
                edgecolor=QUIET,
                linewidth=0,
                hatch="/////",
                alpha=0.5,
                zorder=0.5,
            )


def _runs(one: Strip) -> Iterator[tuple[str | None, bool, float, float]]:
    """Class, undetermined or not, and both edges of each run of equal sentences."""
    at = 0.5
    pairs = zip(one.label, one.undetermined.tolist(), strict=True)
    for (name, undetermined), run in groupby(pairs):
        stop = at + sum(1 for _ in run)
        yield name, undetermined, at, stop
        at = stop


def _draw_probabilities(axes: Axes, one: Strip) -> None:
    position = np.arange(1, len(one.label) + 1)
    marker = "." if len(position) <= MARKED else ""
    window = -(-len(position) // MOST)
    drawn = _running_mean(np.asarray(one.p, np.float64), window)
    student = drawn[:, ROLES.index("student")]
    axes.fill_between(
        position,
        student - one.beta,
        student + one.beta,
        color=ROLE_LINES["student"],
        alpha=0.16,
        linewidth=0,
        gid="beta band",
    )
    for role, p in zip(ROLES, drawn.T, strict=True):
        if not np.isnan(p).all():
            axes.plot(
                position,
                p,
                ROLE_STYLES[role],
                color=ROLE_LINES[role],
                marker=marker,
                markersize=3,
                linewidth=_linewidth(len(position)),
                gid=role,
            )
    axes.set_ylim(0, 1)
    axes.set_ylabel("probability" if window < 2 else f"probability,\nmean of {window}")


def _running_mean(p: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Over `window` sentences around each, of those that have a value."""
    if window < 2:
        return p
    kernel = np.ones(window)
    known = ~np.isnan(p)
    sums, counts = (
        np.stack([np.convolve(column, kernel, "same") for column in columns.T], axis=1)
        for columns in (np.where(known, p, 0.0), known.astype(np.float64))
    )
    return np.where(known, sums / np.maximum(counts, 1), np.nan)


def _linewidth(num_sentences: int) -> float:
    return 1.2 if num_sentences <= 4 * MARKED else 0.6


def _draw_lanes(axes: Axes, one: Strip) -> None:
    lanes = _lanes(one)
    for y, name in enumerate(lanes):
        position = [i for i, label in enumerate(one.label, start=1) if label == name]
        axes.vlines(position, y - 0.36, y + 0.36, color=LINES[name], linewidth=_mark(one), gid=name)
        axes.axhspan(y - 0.5, y + 0.5, color=FILLS[name], linewidth=0, zorder=0)
    axes.set_yticks(range(len(lanes)), [f"{LETTERS[name]} {name}" for name in lanes])
    axes.set_ylim(len(lanes) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)


def _lanes(one: Strip) -> list[str]:
    """Common stands for Shared where there is no distilled student; both have one letter."""
    used = set(one.label)
    names = [name for name in one.labels if name in used or name not in ("common", "shared")]
    return names if len(names) > 1 else one.labels


def _mark(one: Strip) -> float:
    """Points; about half of a sentence's width in a paper's two columns."""
    return float(np.clip(200 / max(len(one.label), 1), 0.2, 2.5))


def _handles(one: Strip) -> Sequence[Line2D | Patch]:
    lines = [
        Line2D([], [], color=ROLE_LINES[role], linestyle=ROLE_STYLES[role], label=role)
        for role, p in zip(ROLES, one.p.T, strict=True)
        if not np.isnan(p).all()
    ]
    band = Patch(color=ROLE_LINES["student"], alpha=0.16, label=f"student ± beta ({one.beta:g})")
    hatch = [Patch(facecolor="none", edgecolor=QUIET, hatch="/////", label="undetermined")]
    return [*lines, band, *(hatch if one.undetermined.any() else [])]
