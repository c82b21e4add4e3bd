"""All configurations in one figure: accuracies, classes, curves and differences.

It fits the pane, some 590 px wide, in which MLflow shows an artifact.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from matplotlib.figure import Figure

from rdpt_core.report.bundle import Difference
from rdpt_core.report.figures.accuracies import accuracies_height, draw_accuracies
from rdpt_core.report.figures.compared import ACCURACY, BASELINES, Compared
from rdpt_core.report.figures.curves import class_panels, curves_height, draw_curves
from rdpt_core.report.figures.differences import differences_height, draw_differences
from rdpt_core.report.figures.shares import draw_shares, shares_height
from rdpt_core.report.figures.style import SCREEN, new_figure, styled

MOST_DIFFERENCES = 12
NOTHING = 0.5
"""Inches; height of words where there are no curves."""


@styled
def overview(one: Compared, configuration: str | None = None) -> Figure:
    """Curves are those of `configuration`; if None, of the best one that has some. Differences are
    its own, where it has any."""
    shown = configuration or best(one)
    panels = class_panels(one.curves[shown]) if shown in one.curves else []
    one = replace(one, differences=_of(one, shown)[:MOST_DIFFERENCES])
    heights = [
        accuracies_height(one, SCREEN),
        shares_height(one, SCREEN),
        curves_height(panels, SCREEN) if panels else NOTHING,
        differences_height(one, SCREEN),
    ]
    figure = new_figure(SCREEN, sum(heights))
    rooms: Any = figure.subfigures(len(heights), 1, height_ratios=heights)
    draw_accuracies(rooms[0].subplots(), one, SCREEN)
    draw_shares(rooms[1], one, SCREEN)
    draw_curves(rooms[2], panels, one.min_traces, SCREEN)
    if panels:
        rooms[2].suptitle(f"position curves of {shown}", fontsize=7)
    draw_differences(rooms[3].subplots(), one, SCREEN)
    return figure


def best(one: Compared) -> str | None:
    """The first row that was distilled and has curves."""
    names = [shown.name for shown in one.shown if shown.kind not in BASELINES]
    return next((name for name in names if name in one.curves), None)


def _of(one: Compared, shown: str | None) -> list[Difference]:
    """Differences in accuracy of a configuration or its arm; all of them if it has none."""
    names = {name for s in one.shown if s.name == shown for name in (s.name, s.selector) if name}
    found = [each for each in one.differences if each.metric == ACCURACY]
    return [each for each in found if names & {each.first, each.second}] or found
