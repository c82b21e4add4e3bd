"""All configurations in one figure: accuracies, classes, curves and differences.

It fits the pane, some 590 px wide, in which MLflow shows an artifact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from matplotlib.figure import Figure, FigureBase

from rdpt_core.report.bundle import Difference, Shown
from rdpt_core.report.figures.accuracies import accuracies_height, draw_accuracies
from rdpt_core.report.figures.compared import (
    ACCURACY,
    BASELINES,
    Panels,
    has_accuracy,
    of_metric,
    with_shares,
)
from rdpt_core.report.figures.curves import class_panels, curves_height, draw_curves
from rdpt_core.report.figures.differences import differences_height, draw_differences
from rdpt_core.report.figures.shares import draw_shares, shares_height
from rdpt_core.report.figures.style import SCREEN, new_figure, note, styled

MOST_DIFFERENCES = 12
NOTHING = 0.5
"""Inches; height of words where there is nothing else."""


@dataclass(frozen=True, slots=True)
class Section:
    height: float
    """Inches."""
    draw: Callable[[FigureBase], object]


@styled
def overview(one: Panels, configuration: str | None = None) -> Figure:
    """Curves are those of `configuration`; if None, of the best one that has some. Differences are
    its own, where it has any. What the benchmark does not have is left out."""
    shown = configuration or best(one)
    one = replace(one, differences=_of(one, shown)[:MOST_DIFFERENCES])
    sections = list(_sections(one, shown))
    if not sections:
        sections.append(Section(NOTHING, lambda room: note(room.subplots(), "no results yet")))
    heights = [section.height for section in sections]
    figure = new_figure(SCREEN, sum(heights))
    rooms: Any = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)
    for room, section in zip(rooms.flat, sections, strict=True):
        section.draw(room)
    return figure


def _sections(one: Panels, shown: str | None) -> Iterator[Section]:
    if has_accuracy(one):
        yield Section(
            accuracies_height(one, SCREEN),
            lambda room: draw_accuracies(room.subplots(), one, SCREEN),
        )
    if with_shares(one)[0]:
        yield Section(shares_height(one, SCREEN), lambda room: draw_shares(room, one, SCREEN))
    if shown in one.curves:
        panels = class_panels(one.curves[shown])
        title = f"position curves of {shown}"
        yield Section(
            curves_height(panels, SCREEN),
            lambda room: draw_curves(room, panels, one.min_traces, SCREEN, title),
        )
    if one.differences:
        yield Section(
            differences_height(one, SCREEN),
            lambda room: draw_differences(room.subplots(), one, SCREEN),
        )


def _arm(shown: Shown) -> tuple[str | None, ...]:
    return shown.teacher, shown.student, shown.selector


def best(one: Panels) -> str | None:
    """The first row that was distilled and has curves."""
    names = [shown.name for shown in one.shown if shown.kind not in BASELINES]
    return next((name for name in names if name in one.curves), None)


def _of(one: Panels, shown: str | None) -> list[Difference]:
    """Differences in accuracy of a configuration or its arm; all of them if it has none."""
    arms = [_arm(each) for each in one.shown if each.name == shown]
    means = [each.name for each in one.shown if each.kind == "mean" and _arm(each) in arms]
    names = {shown, *means}
    found = of_metric(one, ACCURACY)
    return [each for each in found if names & {each.first, each.second}] or found
