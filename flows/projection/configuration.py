"""The MLflow run of one complete configuration."""

from __future__ import annotations

from collections.abc import Iterator

from flows.configurations import Configuration
from flows.projection.files import datasets_of, files_of
from flows.projection.metrics import curve_points, loss_curve, metric_points
from flows.projection.notes import note_of
from flows.projection.parameters import params_of
from flows.projection.told import Told
from flows.workspace import Opened
from rdpt_core.store.parts import contents_digest
from tasks.projection import Projection, tag_key


def project(opened: Opened, configuration: Configuration) -> Projection:
    """Raises Damaged where a part does not hold any more."""
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
        note=note_of(told),
    )


def _tags(told: Told) -> Iterator[tuple[str, str]]:
    """Digests of the run's parts: equal digests of two runs mean a shared table."""
    yield "rdpt.experiment", told.opened.experiment.name
    yield "rdpt.kind", told.configuration.kind
    for use in told.configuration.uses:
        parts = told.plan.state(use.table).parts
        role = [use.role] if use.role else []
        yield tag_key("rdpt", "parts", use.side, use.table.name, *role), contents_digest(parts)
