"""`rdpt sync`: MLflow holds each complete configuration again, from the store alone."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient

from flows import cli
from flows.workspace import freeze
from tests.flows.example_experiments import Studio

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def absolute(here: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow keeps a connection for each address, and relative ones are alike in every test."""
    monkeypatch.setenv("RDPT_WORKSPACE", str(here.folder / "workspace"))


def runs(here: Studio) -> dict[str, int]:
    """The runs of the study in MLflow with their number of metrics."""
    client = MlflowClient(f"sqlite:///{here.folder / 'workspace' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("study")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    return {run.info.run_name or "": len(run.data.metrics) for run in found}


@pytest.mark.fault("F17")
def test_a_lost_database_is_written_again_and_nothing_twice(here: Studio, capsys: Capture) -> None:
    assert cli.main(["sync", "study"]) == 0
    assert "study: 3 complete configurations are up to date" in capsys.readouterr().err
    first = runs(here)
    named = {c.name for c in here.open().study.configurations()}
    assert first.keys() == named | {"comparison"}
    assert all(first.values())
    assert cli.main(["sync"]) == 0
    assert runs(here) == first
    (here.folder / "workspace" / "mlflow.db").unlink()
    assert cli.main(["sync", "study"]) == 0
    assert runs(here) == first


def test_an_incomplete_configuration_waits_until_it_is_built(here: Studio, capsys: Capture) -> None:
    freeze(here.open(beta=0.3))
    assert cli.main(["sync", "study"]) == 0
    assert "study: 2 complete configurations are up to date" in capsys.readouterr().err
    assert runs(here).keys() == {"teacher", "student", "teacher_count", "comparison"}
    assert runs(here)["teacher_count"] == 0
