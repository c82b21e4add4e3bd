"""The calls to MLflow. Each may raise any error, and may be slow."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Protocol

from rdpt_core.store.locks import exclusive
from settings.runtime import Runtime
from tasks.artifacts import artifact_folder, rehome
from tasks.projection import Point, Projection, State, run_name
from tasks.tracking import addresses
from tasks.tracking.connection import connect, probe, set_defaults
from tasks.tracking.models import write_model
from tasks.tracking.writing import (
    kept,
    outdated,
    write_artifacts,
    write_datasets,
    write_losses,
    write_points,
    write_words,
)
from tasks.views import view_tags

if TYPE_CHECKING:
    from mlflow.entities import Experiment, Run


RUN = "run_"
"""What the name of a run's id in a description begins with; the digest follows."""


class Named(Protocol):
    """A configuration before it is complete."""

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...


class Mlflow:
    """One experiment in MLflow and its runs."""

    def __init__(self, runtime: Runtime, experiment_name: str) -> None:
        self._runtime, self._name = runtime, experiment_name
        self._runs: dict[str, str] = {}

    def open(self) -> None:
        """Finds or creates the experiment. Probes the address first, which takes milliseconds;
        importing mlflow and its retries take seconds."""
        uri = self._runtime.tracking_uri
        probe(uri)
        set_defaults()
        rehome(self._runtime)
        self._client = connect(uri)
        with exclusive(self._lock):
            found = self._client.get_experiment_by_name(self._name)
            self._experiment = found or self._made_experiment()
        if self._experiment.lifecycle_stage != "active":
            raise ValueError(
                f"experiment {self._name!r} was deleted there: restore it with "
                f"`mlflow experiments restore -x {self._experiment.experiment_id}`, "
                "or give this one another name"
            )
        addresses.remember(self._runtime, self._name, self._experiment.experiment_id)
        self._keep_views()

    @property
    def _lock(self) -> Path:
        """Two runs on one workspace must not both find nothing and both make it."""
        return self._runtime.workspace / ".mlflow.lock"

    def forget(self) -> None:
        """Requests no link from now on."""
        addresses.remember(self._runtime, self._name, None)

    def _made_experiment(self) -> Experiment:
        local = self._runtime.tracking_uri.startswith("sqlite:")
        folder = artifact_folder(self._runtime, self._name)
        place = folder.as_uri() if local else None  # a server has its own artifact folder
        made = self._client.create_experiment(self._name, artifact_location=place)
        return self._client.get_experiment(made)

    def _keep_views(self) -> None:
        for key, value in view_tags(self._experiment.creation_time or 0).items():
            self._keep(key, value)
        for key in outdated(self._experiment.tags):
            self._client.delete_experiment_tag(self._experiment.experiment_id, key)

    def _keep(self, key: str, value: str) -> None:
        """Writes a tag of the experiment, unless a user edited it."""
        for tag, text in kept(self._experiment.tags, key, value).items():
            self._client.set_experiment_tag(self._experiment.experiment_id, tag, text)
            self._experiment.tags[tag] = text

    # ------------------------------------------------------------------ runs

    def run_address(self, configuration: Named) -> str | None:
        run_id = self._runs.get(configuration.digest)
        if run_id is None:
            return None
        return addresses.run_page(self._runtime, self._experiment.experiment_id, run_id)

    def _run_of(self, configuration: Named, begun: int | None = None) -> str:
        """The run with the configuration's tag, created with the tag if missing: so a process
        killed at any point leaves at most one run."""
        digest = configuration.digest
        if digest not in self._runs:
            with exclusive(self._lock):
                found = self._found_run(digest)
                self._runs[digest] = (
                    found.info.run_id if found else self._made_run(configuration, begun)
                )
        return self._runs[digest]

    def _found_run(self, digest: str) -> Run | None:
        found = self._client.search_runs(
            [self._experiment.experiment_id],
            f"tags.`rdpt.configuration` = '{digest}'",
            order_by=["attributes.start_time ASC"],
            max_results=1,
        )
        return found[0] if found else None

    def _made_run(self, configuration: Named, begun: int | None) -> str:
        name = run_name(configuration.name)
        tags = {"rdpt.configuration": configuration.digest}
        tags |= kept({}, "mlflow.runName", name)
        made = self._client.create_run(
            self._experiment.experiment_id, begun or int(time.time() * 1000), tags, name
        )
        run_id: str = made.info.run_id
        return run_id

    # ------------------------------------------------------------------ telling

    def tell_losses(self, configuration: Named, points: Sequence[Point]) -> None:
        write_losses(self._client, self._run_of(configuration), points)

    def tell(self, projection: Projection) -> None:
        run_id = self._run_of(projection, projection.begun)
        run = self._client.get_run(run_id)
        if projection.state is State.KILLED and run.info.status == State.FAILED:
            projection = _failed(run, projection)
        write_words(self._client, run, self._placed(projection))
        write_losses(self._client, run_id, projection.losses)
        write_points(self._client, run_id, projection.points)
        write_datasets(self._client, run_id, projection.datasets)
        write_artifacts(self._client, run_id, projection.artifacts)
        if projection.model is not None:
            write_model(self._client, self._experiment.experiment_id, run_id, projection.model)
        if projection.description:
            self._keep("mlflow.note.content", self._linked(projection.description))
        self._end(run, projection)

    def add_files(self, configuration: Named, files: Mapping[str, bytes]) -> None:
        write_artifacts(self._client, self._run_of(configuration), files)

    def _placed(self, projection: Projection) -> Projection:
        """With the tag by which MLflow nests a run, and ids in its note."""
        tags = dict(projection.tags)
        if projection.parent is not None:
            tags["mlflow.parentRunId"] = self._run_of(projection.parent, projection.begun)
        return replace(projection, tags=tags, note=self._linked(projection.note))

    def _linked(self, description: str) -> str:
        """The description with the ids of runs, as far as there are runs."""
        template = Template(description)
        names = {name for name in template.get_identifiers() if name.startswith(RUN)}
        found = {name: self._known_run(name.removeprefix(RUN)) for name in names}
        ids = {name: run_id for name, run_id in found.items() if run_id is not None}
        return template.safe_substitute(ids, experiment=self._experiment.experiment_id)

    def _known_run(self, digest: str) -> str | None:
        if digest not in self._runs:
            found = self._found_run(digest)
            return found.info.run_id if found else None
        return self._runs[digest]

    def _end(self, run: Run, projection: Projection) -> None:
        """Where something changes: a run keeps its times."""
        if projection.state is State.RUNNING:
            if run.info.status != State.RUNNING:
                self._client.update_run(run.info.run_id, State.RUNNING)
        elif (run.info.status, run.info.end_time) != (projection.state, projection.ended):
            self._client.set_terminated(run.info.run_id, projection.state, projection.ended)


def _failed(run: Run, projection: Projection) -> Projection:
    """What is still missing after a failure is missing because of it: the run keeps its words."""
    tags = {k: v for k, v in projection.tags.items() if k not in run.data.tags}
    note = run.data.tags.get("mlflow.note.content", "")
    return replace(projection, state=State.FAILED, note=note, tags=tags)
