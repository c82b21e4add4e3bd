"""Numbers of configurations and arms, as far as the store has their results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flows.configurations import Configuration
from rdpt_core.results.summary import BY_DOMAIN
from rdpt_core.tables.rows import Result
from tasks.plan import Plan
from tasks.stage import Parts, Table

DIFFERENCE, DETECTABLE = "grades/difference", "grades/detectable_difference"
"""Metrics of `ArmDifference.rows`: of the accuracy, and the smallest that would be found."""
GAINED, LOST, NET = "grades/gained", "grades/lost", "grades/net_gained"


def rows_of(configuration: Configuration, side: str, plan: Plan) -> dict[str, Result]:
    """Metric to row; empty where the results do not exist yet."""
    table = configuration.find("results", side)
    if table is None:
        return {}
    return {row.metric: row for row in _rows(table, plan)}


def _rows(table: Table, plan: Plan) -> Iterator[Result]:
    for rows in Parts(plan.store, Result, plan.state(table).parts):
        yield from rows


def arm_means(
    configurations: Iterable[Configuration], side: str, plan: Plan
) -> Iterator[tuple[str, Result]]:
    """Name and mean accuracy of every arm of several draws or seeds."""
    for configuration in configurations:
        for use in configuration.uses:
            if (use.side, use.role) == (side, "arm") and plan.state(use.table).complete:
                yield from (
                    (f"{configuration.arm} (all runs)", row) for row in _rows(use.table, plan)
                )


@dataclass(frozen=True)
class ArmDifference:
    """Two arms of one teacher and student, on the same questions and sampling seeds."""

    configuration: str
    """The first configuration of the arm."""
    name: str
    against: str
    """Name of the other arm."""
    rows: dict[str, Result]
    """By metric, without the name of the other arm at its end."""


def differences(
    configurations: Sequence[Configuration], side: str, plan: Plan
) -> Iterator[ArmDifference]:
    """Every two arms that are compared on a side, as far as they are complete."""
    for configuration in configurations:
        for use in configuration.uses:
            if use.role is None or not use.role.startswith("against "):
                continue
            if use.side != side or not plan.state(use.table).complete:
                continue
            against = use.role.removeprefix("against ")
            rows = {row.metric.removesuffix(f"/{against}"): row for row in _rows(use.table, plan)}
            name = f"{configuration.arm} - {against}"
            yield ArmDifference(configuration.name, name, against, rows)


def domains_of(found: Iterable[Mapping[str, Result]]) -> list[str]:
    """Names of the domains of a benchmark."""
    names = {
        metric.removeprefix(BY_DOMAIN)
        for rows in found
        for metric in rows
        if metric.startswith(BY_DOMAIN)
    }
    return sorted(names)
