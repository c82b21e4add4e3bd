"""A trained student as a model of MLflow: what it was made of, and where it is.

MLflow calls it a logged model. Its weights stay in the store; MLflow gets the list of its files.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.projection import TrainedModel, run_name

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Metric
    from mlflow.tracking import MlflowClient

TAG = "rdpt.students"
"""Digest of the model's part, by which the model of a run is looked up."""
KIND = "distilled student"


def write_model(
    client: MlflowClient, experiment: str, run_id: str, model: TrainedModel
) -> LoggedModel:
    """Creates the model of a run, or completes it where a process was killed half-way."""
    from mlflow.entities import LoggedModelOutput

    found = _found(client, experiment, run_id, model)
    logged = found or client.create_logged_model(
        experiment,
        run_name(model.name),
        run_id,
        {TAG: model.digest},
        dict(model.params),
        KIND,
    )
    if str(logged.status) != "READY":
        with tempfile.TemporaryDirectory(prefix="rdpt-") as folder:
            for name, content in model.files.items():
                (Path(folder) / name).write_bytes(content)
                client.log_model_artifact(logged.model_id, str(Path(folder) / name))
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
        client.log_batch(run_id, metrics=_metrics(logged.model_id, run_id, model))
        logged = client.finalize_logged_model(logged.model_id, "READY")
    return logged


def _metrics(model_id: str, run_id: str, model: TrainedModel) -> list[Metric]:
    from mlflow.entities import Metric

    return [
        Metric(p.key, p.value, p.timestamp, p.step, model_id, data.name, data.digest, run_id)
        for p, data in model.points
    ]


def _found(
    client: MlflowClient, experiment: str, run_id: str, model: TrainedModel
) -> LoggedModel | None:
    query = f"source_run_id = '{run_id}' AND tags.`{TAG}` = '{model.digest}'"
    found = client.search_logged_models([experiment], query, max_results=1)
    return found[0] if found else None
