"""What the figures of one benchmark show, taken from the report's bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rdpt_core.report.bundle import Bundle, Curve, Difference, Number, Shown

ACCURACY = "accuracy"
SHARE = "provenance/share/"
"""Metric of the share of a class, up to its name."""
MISSING = Number(None, None, None, 0, None)
BASELINES = ("teacher", "student")
"""Kinds that are drawn as lines: nothing was distilled."""


@dataclass(frozen=True, slots=True)
class Panels:
    """The configurations of an experiment on one benchmark."""

    benchmark: str
    shown: list[Shown]
    """In the order of rows: best accuracy first."""
    curves: dict[str, Curve]
    """By name of the configuration."""
    differences: list[Difference]
    labels: list[str]
    """Classes, in the order of panels."""
    min_traces: int


def compared(bundle: Bundle, benchmark: str) -> Panels:
    at, shown = bundle.benchmarks.index(benchmark), by_accuracy(bundle.configurations, benchmark)
    names = [one.name for one in bundle.configurations]
    curves = {names[one.configuration]: one for one in bundle.curves if one.benchmark == at}
    return Panels(
        benchmark,
        shown,
        {one.name: curves[one.name] for one in shown if one.name in curves},
        [one for one in bundle.differences if one.benchmark == at],
        bundle.labels,
        bundle.min_traces,
    )


def by_accuracy(shown: Sequence[Shown], benchmark: str) -> list[Shown]:
    """Those with results on the benchmark; without an accuracy last."""
    found = [one for one in shown if one.results.get(benchmark)]
    values = {one.name: number(one, benchmark, ACCURACY).value for one in found}
    return sorted(found, key=lambda one: 1.0 if (v := values[one.name]) is None else -v)


def number(one: Shown, benchmark: str, metric: str) -> Number:
    return one.results.get(benchmark, {}).get(metric, MISSING)


def has_accuracy(one: Panels) -> bool:
    return any(number(shown, one.benchmark, ACCURACY).value is not None for shown in one.shown)


def of_metric(one: Panels, metric: str) -> list[Difference]:
    return [difference for difference in one.differences if difference.metric == metric]


def with_shares(one: Panels) -> tuple[list[Shown], list[str]]:
    """Configurations with a share of any class, and the classes with a share in any of these."""
    values = {
        (shown.name, label): number(shown, one.benchmark, f"{SHARE}{label}").value
        for shown in one.shown
        for label in one.labels
    }
    shown = [s for s in one.shown if any(values[s.name, label] is not None for label in one.labels)]
    labels = [name for name in one.labels if any(values[s.name, name] is not None for s in shown)]
    return shown, labels
