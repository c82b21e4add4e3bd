"""The MLflow run of one configuration."""

from __future__ import annotations

from collections.abc import Iterator

from flows.configurations import Configuration
from flows.projection.files import files_of
from flows.projection.links import in_template
from flows.projection.made_of import datasets_of, trained_model
from flows.projection.metrics import curve_points, loss_curve, metric_points
from flows.projection.notes import note_of
from flows.projection.parameters import params_of
from flows.projection.told import Told
from flows.results.cells import interval, share
from flows.workspace import Opened
from tasks.projection import Parent, Projection, State

ACCURACY = "accuracy 95 CI"
"""Tag with the accuracy and its interval: one column where three metrics would take three."""


def project(opened: Opened, configuration: Configuration, parent: Parent | None) -> Projection:
    """A complete configuration. Raises Damaged where a part does not hold any more."""
    told = Told(opened, configuration, opened.plan)
    ended = max(told.times)
    return Projection(
        name=configuration.name,
        digest=configuration.digest,
        begun=min(told.times),
        ended=ended,
        tags=dict(_tags(told)),
        params=params_of(told),
        points=(*metric_points(told, ended), *curve_points(told, ended)),
        losses=tuple(loss_curve(told)),
        artifacts=dict(files_of(told)),
        datasets=tuple(datasets_of(told)),
        note=note_of(told, parent),
        parent=parent,
        model=trained_model(told),
    )


def project_unfinished(
    opened: Opened,
    configuration: Configuration,
    parent: Parent | None,
    state: State,
    reasons: tuple[str, ...] = (),
) -> Projection:
    """A configuration that lacks parts, with what stopped it."""
    told = Told(opened, configuration, opened.plan)
    times = told.times or [opened.file.stat().st_mtime_ns // 1_000_000]
    return Projection(
        name=configuration.name,
        digest=configuration.digest,
        begun=min(times),
        ended=max(times),
        tags={**dict(_tags(told)), ACCURACY: WORDS[state]},
        params=params_of(told),
        note=in_template(_missing(told, state, reasons)),
        state=state,
        parent=parent,
    )


WORDS = {State.RUNNING: "running", State.FAILED: "failed", State.KILLED: "not finished"}


def _tags(told: Told) -> Iterator[tuple[str, str]]:
    yield "rdpt.experiment", told.opened.experiment.name
    yield "rdpt.kind", told.configuration.kind
    for side in told.benchmarks[:1]:
        row = told.results[side].get("accuracy")
        if row is not None:
            yield ACCURACY, f"{share(row)} {interval(row)}"


def _missing(told: Told, state: State, reasons: tuple[str, ...]) -> str:
    """Markdown; what an error quotes stands in a block of code, which renders nothing."""
    uses = told.configuration.uses
    done = sum(told.plan.state(use.table).complete for use in uses)
    lines = [f"**{WORDS[state]}**: {done} of {len(uses)} tables are complete."]
    if reasons:
        lines += ["", "```", *(reason.replace("`", "'") for reason in reasons), "```"]
    if state is not State.RUNNING:
        lines += ["", f"`rdpt resume {told.opened.experiment.name}` builds the rest."]
    return "\n".join(lines) + "\n"
