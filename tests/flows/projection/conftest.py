"""The store is real, and so is MLflow (sqlite)."""

from __future__ import annotations

import pytest

from flows.projection.configuration import project
from flows.workspace import Opened
from settings.runtime import Runtime
from tasks.projection import Projection
from tasks.tracking.client import Mlflow
from tests.flows.projection.toy_configuration import STUDY, Question, ToyBenchmark, configuration
from tests.stages import toy_stages


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """A workspace in which the configuration is complete."""
    folder = tmp_path_factory.mktemp("made")
    file = folder / "experiment.toml"
    file.write_text('name = "toy"\n')
    runtime = Runtime(workspace=folder / "workspace")
    tables = {use.table.digest: use.table for use in configuration().uses}
    toy_stages.build(runtime.store_folder, list(tables.values()))
    benchmarks = [ToyBenchmark(name="bench", limit=8), ToyBenchmark(name="more")]
    question = Question(labels={"alpha": 0.1}, benchmarks=benchmarks)
    return Opened(runtime, question, file, folder)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole(made: Opened) -> Projection:
    return project(made, configuration(), STUDY)


@pytest.fixture(scope="module")
def server(made: Opened, whole: Projection) -> Mlflow:
    """MLflow over a sqlite file, told everything twice."""
    for _ in range(2):
        mlflow = Mlflow(made.runtime, "toy")
        mlflow.open()
        mlflow.tell(whole)
    return mlflow
