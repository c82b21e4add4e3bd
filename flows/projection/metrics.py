"""Numbers of a run, the most important first."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from flows.projection.told import Told
from flows.results.rows import domains_of
from flows.results.tables import MAX_DOMAINS
from rdpt_core.provenance.curves import SIDES, CurveRule, PositionCounts, curves, position_counts
from rdpt_core.provenance.labels import FOUR_WAY, LABELS
from rdpt_core.results.summary import BY_DOMAIN
from rdpt_core.tables.rows import Grade, Provenance, Result, TrainingStep
from tasks.projection import Point, loss_points, metric_key

MAX_METRICS = 60
MAX_POINTS = 500
MIN_TRACES = 10
"""At a position, for its share to be drawn."""
BARE = ("accuracy", "teacher_share", "tokens")
FIRST = ("grades/gained", "grades/lost", "grades/net_gained", BY_DOMAIN)
"""Told before all other metrics: what a mean hides."""
LESS = ("curves/area_with_truncated/", "curves/area/full/", "grades/num_samples")
"""In the table of results only."""


def metric_points(told: Told, when: int) -> list[Point]:
    """The most important first, at most 60 keys together with curves and loss."""
    seconds = sum(part.seconds for part in told.all_parts)
    # Four digits, since MLflow's table prints all digits of a number.
    first: dict[str, float | None] = {"seconds": float(f"{seconds:.4g}")}
    second: dict[str, float | None] = {}
    later: dict[str, float | None] = {}
    for side, rows in told.results.items():
        other = side in told.benchmarks[1:]
        slices = [side.partition(":")[2]] if other else []
        less = (*LESS, BY_DOMAIN) if len(domains_of([rows])) > MAX_DOMAINS else LESS
        for row in rows.values():
            if not row.metric.startswith(less):
                into = second if row.metric.startswith(FIRST) else later
                (first if row.metric in BARE else into).update(_named(row, slices))
    curved = len(SIDES) * len(FOUR_WAY) if _labelled(told) else 0
    room = MAX_METRICS - curved - len({point.key for point in loss_curve(told)})
    known = [(k, v) for k, v in {**first, **second, **later}.items() if v is not None]
    return [Point(key, round(value, 4), 0, when) for key, value in known[:room]]


def _named(row: Result, slices: list[str]) -> dict[str, float | None]:
    """A row's metric; `accuracy` also brings the ends of its interval."""
    levels = 2 if row.metric.startswith(BY_DOMAIN) else -1  # a domain's name may hold a slash
    key = metric_key(*row.metric.split("/", levels), *slices)
    if row.metric != "accuracy":
        return {key: row.value}
    low, high = (metric_key(f"accuracy_{end}", *slices) for end in ("low", "high"))
    return {key: row.value, low: row.low, high: row.high}


def _labelled(told: Told) -> str | None:
    """The first benchmark, if its sentences were attributed."""
    sides = told.benchmarks[:1]
    return sides[0] if sides and told.parts("provenance", sides[0]) else None


def positions_of(told: Told, side: str) -> PositionCounts:
    """Labels and grades are parts of the same traces, in the same order."""
    total = PositionCounts.none()
    for labels, grades in zip(told.rows(Provenance, side), told.rows(Grade, side), strict=True):
        total = total + position_counts(labels, {g.trace_id: g.outcome for g in grades})
    return total


def curve_points(told: Told, when: int) -> Iterator[Point]:
    """Step = sentence position, so MLflow overlays configurations by itself."""
    side = _labelled(told)
    if side is None:
        return
    found = curves(positions_of(told, side), CurveRule())
    for s, which in enumerate(SIDES):
        enough = np.flatnonzero(found.num_traces[s] >= MIN_TRACES)
        for position in enough[:: -(-len(enough) // MAX_POINTS) or 1].tolist():
            for name in FOUR_WAY:
                value = float(found.share[s, position, LABELS.index(name)])
                yield Point(f"provenance/{name}/{which}", round(value, 4), position + 1, when)


def loss_curve(told: Told) -> Iterator[Point]:
    parts = told.parts("students", "train")
    if not parts:
        return
    record = told.plan.store.record(parts[0].table, parts[0].key)
    when = record.mtime_ns // 1_000_000 if record else 0
    for rows in told.rows(TrainingStep, "train"):
        yield from loss_points(rows, when)
