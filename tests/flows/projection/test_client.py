"""A real MLflow, told once and told again without a trace."""

from __future__ import annotations

import base64
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import zlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows.commands.ui.servers import mlflow_server
from flows.workspace import Opened
from settings.runtime import Runtime
from tasks import views
from tasks.artifacts import rehome
from tasks.projection import LOSS, Point, Projection, State
from tasks.running import announced
from tasks.tracking.abandoned import end_abandoned
from tasks.tracking.client import Mlflow
from tasks.tracking.writing import OURS, short
from tests.flows.projection.toy_configuration import DIGEST, STUDY, run_of, runs_of

Capture = pytest.CaptureFixture[str]


# ---------------------------------------------------------------------------- a real MLflow


@pytest.mark.fault("F06")
def test_telling_again_changes_nothing(server: Mlflow, whole: Projection) -> None:
    run = run_of(server)
    client = server._client
    assert run.info.run_name == "random"
    assert run.info.status == "FINISHED"
    assert run.data.tags["rdpt.configuration"] == DIGEST
    assert len(client.get_metric_history(run.info.run_id, LOSS)) == 5
    assert len(client.get_metric_history(run.info.run_id, "accuracy")) == 1
    assert {k: run.data.params[k] for k in whole.params} == whole.params
    assert len(run.inputs.dataset_inputs) == 3
    listed = {f.path for f in client.list_artifacts(run.info.run_id)}
    assert listed == {
        "experiment.toml",
        "results.csv",
        "tables.json",
        "students",
        "selection",
        "provenance",
    }
    assert run.data.tags["mlflow.parentRunId"] == server._runs[STUDY.digest]


def test_no_address_of_a_run_gets_into_the_table_of_results(server: Mlflow) -> None:
    """Told to a server over HTTP, MLflow wrote "View run ..." to stdout for each configuration."""
    from mlflow.environment_variables import MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT

    assert MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.get()  # type: ignore[no-untyped-call]


def test_artifacts_lie_in_the_workspace(server: Mlflow, made: Opened) -> None:
    found = [*(made.runtime.workspace / "mlartifacts" / "toy").rglob("preview.txt")]
    assert len(found) == 1


def test_a_workspace_that_moved_has_its_artifacts_in_its_new_place(
    server: Mlflow, made: Opened, whole: Projection, tmp_path: Path, capsys: Capture
) -> None:
    """Also one that was copied: nothing is written into the old one."""
    from mlflow.tracking._tracking_service import utils

    moved = tmp_path / "moved to" / "workspace"
    shutil.copytree(made.runtime.workspace, moved)
    before = sorted(made.runtime.workspace.rglob("*"))
    utils._artifact_repos_cache.clear()  # of a process: a run has one
    told = Mlflow(Runtime(workspace=moved), "toy")
    told.open()
    assert "MLflow now looks for its files in " in capsys.readouterr().err
    told.tell(replace(whole, artifacts={**whole.artifacts, "fresh.txt": b"new"}))
    told.tell(replace(whole, digest="f" * 32, name="another"))
    utils._artifact_repos_cache.clear()
    places = {run.info.artifact_uri for run in runs_of(told)} | {told._experiment.artifact_location}
    places |= {model.artifact_location for model in models_of(told)}
    assert all(place.startswith(f"{moved.as_uri()}/mlartifacts/toy") for place in places)
    assert len([*(moved / "mlartifacts" / "toy").rglob("fresh.txt")]) == 1
    assert len([*(moved / "mlartifacts" / "toy").rglob("results.csv")]) == 2  # of both runs
    assert sorted(made.runtime.workspace.rglob("*")) == before
    Mlflow(Runtime(workspace=moved), "toy").open()
    assert capsys.readouterr().err == "", "once is enough"


def test_a_file_of_a_moved_workspace_opens_in_mlflows_page(
    server: Mlflow, made: Opened, tmp_path: Path
) -> None:
    """Asked of the server that `rdpt ui` starts."""
    runtime = Runtime(workspace=tmp_path / "moved")
    shutil.copytree(made.runtime.workspace, runtime.workspace)
    shutil.rmtree(runtime.workspace / "store")
    rehome(runtime)
    run = run_of(server)
    away = made.runtime.workspace / "mlartifacts"
    away.rename(away.with_name("away"))
    try:
        page = mlflow_page(runtime, f"/get-artifact?path=results.csv&run_uuid={run.info.run_id}")
    finally:
        away.with_name("away").rename(away)
    assert page.startswith(b"configuration,side,benchmark,metric,value,low,high,n,note\n")


def mlflow_page(runtime: Runtime, address: str) -> bytes:
    """Answered by MLflow's own application in a process of its own, as `rdpt ui` starts it."""
    command = mlflow_server(runtime, 5000)
    place = command.command[command.command.index("--artifacts-destination") + 1]
    code = (
        "import sys; from mlflow.server import app, handlers; "
        "handlers.initialize_backend_stores(sys.argv[1], default_artifact_root=sys.argv[2]); "
        "answer = app.test_client().get(sys.argv[3], headers={'Host': '127.0.0.1:5000'}); "
        "sys.stdout.buffer.write(answer.data); sys.exit(answer.status_code != 200)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, runtime.tracking_uri, place, address],
        env={**os.environ, **command.environment},
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_folders_that_the_user_chose_are_left_alone(server: Mlflow, tmp_path: Path) -> None:
    runtime = Runtime(workspace=tmp_path)
    shutil.copyfile(server._runtime.workspace / "mlflow.db", tmp_path / "mlflow.db")
    change = "UPDATE experiments SET artifact_location = ? WHERE name = 'toy'"
    for chosen in ("s3://bucket/mlartifacts/toy", "file:///shared/files/toy"):
        with sqlite3.connect(tmp_path / "mlflow.db") as database:
            database.execute(change, [chosen])
        rehome(runtime)
        with sqlite3.connect(tmp_path / "mlflow.db") as database:
            query = "SELECT artifact_location FROM experiments WHERE name = 'toy'"
            assert database.execute(query).fetchone() == (chosen,)
    (tmp_path / "mlflow.db").write_bytes(b"no database")
    rehome(runtime)


@pytest.mark.fault("F06")
def test_losses_that_were_told_live_are_not_told_twice(server: Mlflow, whole: Projection) -> None:
    later = SimpleNamespace(name="later", digest="e" * 32)
    server.tell_losses(later, [Point(LOSS, 0.5, 2, 123), Point(LOSS, 1.0, 1, 123)])
    server.tell_losses(later, whole.losses)
    history = server._client.get_metric_history(server._runs[later.digest], LOSS)
    assert [m.step for m in sorted(history, key=lambda m: m.step)] == [1, 2, 3, 4, 5]
    server._client.delete_run(server._runs[later.digest])


def test_what_a_person_wrote_stays(server: Mlflow, whole: Projection) -> None:
    run = run_of(server)
    server._client.set_tag(run.info.run_id, "mlflow.note.content", "mine")
    server._client.set_tag(run.info.run_id, "mlflow.runName", "my name")
    server.tell(whole)
    run = run_of(server)
    assert run.data.tags["mlflow.note.content"] == "mine"
    assert run.info.run_name == "my name"


def test_the_view_is_there_and_a_changed_one_stays(server: Mlflow, made: Opened) -> None:
    tag, identity = views.TAG + "comparison", server._experiment.experiment_id
    value = json.loads(server._client.get_experiment(identity).tags[tag])
    packed = value["state"].removeprefix("deflate;")
    state = json.loads(zlib.decompress(base64.b64decode(packed)))
    assert value["name"] == "Comparison"
    assert state["orderByKey"] == "metrics.`accuracy`"
    assert "params.`selector`" in state["selectedColumns"]
    assert state["columnWidths"]["tags.`accuracy 95 CI`"] > 85
    server._client.set_experiment_tag(identity, tag, "mine")
    again = Mlflow(made.runtime, "toy")
    again.open()
    assert again._client.get_experiment(identity).tags[tag] == "mine"


# ---------------------------------------------------------------------------- models


def models_of(mlflow: Mlflow) -> list[Any]:
    return list(mlflow._client.search_logged_models([mlflow._experiment.experiment_id]))


def test_a_student_is_one_model_that_names_its_data(server: Mlflow, whole: Projection) -> None:
    """Told twice; it links to the run that made it, which has the data as inputs."""
    (model,) = models_of(server)
    run = run_of(server)
    assert whole.model is not None
    assert (str(model.status), model.source_run_id) == ("READY", run.info.run_id)
    assert model.params == dict(whole.model.params)
    assert [out.model_id for out in run.outputs.model_outputs] == [model.model_id]
    given = {one.dataset.name for one in run.inputs.dataset_inputs}
    used = {(metric.key, metric.dataset_name) for metric in model.metrics}
    assert ("rows/selection", "selection of random") in used
    assert "accuracy" in {key for key, _ in used}
    assert {"traces of big", "selection of random"} <= given


def test_a_model_holds_a_list_of_its_weights_and_no_weights(server: Mlflow, made: Opened) -> None:
    (model,) = models_of(server)
    folder = Path(model.artifact_location.removeprefix("file://"))
    assert [path.name for path in folder.rglob("*") if path.is_file()] == ["model.json"]


# ---------------------------------------------------------------------------- states


def unfinished(state: State, digest: str = "9" * 32) -> Projection:
    return Projection(
        "late", digest, 1000, 2000, {"accuracy 95 CI": state.lower()}, {}, state, state=state
    )


def test_a_run_has_the_state_of_its_configuration(server: Mlflow) -> None:
    for state in (State.RUNNING, State.FAILED, State.RUNNING, State.KILLED, State.FINISHED):
        server.tell(unfinished(state))
        run = run_of(server, "9" * 32)
        assert (run.info.status, run.data.tags["accuracy 95 CI"]) == (state, state.lower())
    assert run.info.end_time == 2000
    server._client.delete_run(run.info.run_id)
    del server._runs["9" * 32]


def test_what_failed_stays_failed_until_it_is_built(server: Mlflow) -> None:
    """`rdpt sync` sees only that it lacks parts."""
    for state in (State.FAILED, State.KILLED):
        server.tell(unfinished(state))
    run = run_of(server, "9" * 32)
    assert (run.info.status, run.data.tags["mlflow.note.content"]) == ("FAILED", "FAILED")
    assert run.data.tags["accuracy 95 CI"] == "failed"
    server._client.delete_run(run.info.run_id)
    del server._runs["9" * 32]


@pytest.mark.fault("F06")
def test_a_run_whose_process_was_killed_is_running_no_more(
    server: Mlflow, made: Opened, tmp_path: Path
) -> None:
    server.tell(unfinished(State.RUNNING))
    runtime = Runtime(workspace=tmp_path)
    shutil.copyfile(made.runtime.workspace / "mlflow.db", tmp_path / "mlflow.db")
    with announced(tmp_path, "toy"):
        end_abandoned(runtime)
    assert states_in(tmp_path / "mlflow.db")["late"] == "RUNNING", "its process lives"
    end_abandoned(runtime)
    states = states_in(tmp_path / "mlflow.db")
    assert (states["comparison"], states["late"]) == ("KILLED", "KILLED")
    assert states[run_of(server).info.run_name] == "FINISHED"
    server._client.delete_run(run_of(server, "9" * 32).info.run_id)
    del server._runs["9" * 32]


def states_in(path: Path) -> dict[str, str]:
    query = "SELECT name, status FROM runs WHERE lifecycle_stage = 'active'"
    with closing(sqlite3.connect(path)) as database:
        return dict(database.execute(query).fetchall())


# ---------------------------------------------------------------------------- earlier releases


def test_tags_of_earlier_releases_go_and_edits_stay(made: Opened, whole: Projection) -> None:
    """Their 29 digests, and marks of what rdpt wrote, which filled the lists of MLflow's pages."""
    old = Mlflow(made.runtime, "old")
    old.open()
    identity = old._experiment.experiment_id
    old.tell(replace(whole, digest="8" * 32, model=None))
    run_id = old._runs["8" * 32]
    tags = run_of(old, "8" * 32).data.tags
    old._client.set_tag(run_id, "rdpt.parts.train.traces", "abc")
    for name in ("note.content", "runName"):
        old._client.delete_tag(run_id, OURS + name)
        old._client.set_tag(run_id, f"rdpt.wrote.{name}", short(tags[f"mlflow.{name}"]))
    old._client.set_tag(run_id, "mlflow.runName", "mine")
    old._client.set_experiment_tag(identity, "rdpt.wrote.sharedViewState.comparison", "abc")
    again = Mlflow(made.runtime, "old")
    again.open()
    again.tell(replace(whole, digest="8" * 32, model=None, note="a new note"))
    run = run_of(again, "8" * 32)
    assert not [key for key in run.data.tags if key.startswith(("rdpt.wrote", "rdpt.parts"))]
    assert (run.info.run_name, run.data.tags["mlflow.note.content"]) == ("mine", "a new note")
    stored = again._client.get_experiment(identity).tags
    assert not [key for key in stored if key.startswith("rdpt.wrote")]


# ---------------------------------------------------------------------------- the experiment's page


def test_the_page_of_an_experiment_links_to_runs(server: Mlflow, whole: Projection) -> None:
    text = f"random 0.1 [charts](#/experiments/$experiment/runs/$run_{DIGEST}) $$5 $run_{'0' * 32}"
    server.tell(replace(whole, description=text))
    experiment = server._client.get_experiment(server._experiment.experiment_id)
    run_id = run_of(server).info.run_id
    page = f"#/experiments/{experiment.experiment_id}/runs/{run_id}"
    assert experiment.tags["mlflow.note.content"] == (
        f"random 0.1 [charts]({page}) $5 $run_{'0' * 32}"
    )
