"""A real MLflow, told once and told again without a trace."""

from __future__ import annotations

import base64
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tomllib
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows.commands.ui.servers import mlflow_server
from flows.workspace import Opened
from rdpt_core.provenance.curves import SIDES
from rdpt_core.provenance.labels import FOUR_WAY
from settings.runtime import Runtime
from tasks import views
from tasks.artifacts import rehome
from tasks.projection import LOSS, Point, Projection
from tasks.tracking.client import Mlflow
from tests.flows.projection.toy_configuration import DIGEST, runs_of

Capture = pytest.CaptureFixture[str]


# ---------------------------------------------------------------------------- a real MLflow


def test_telling_again_changes_nothing(server: Mlflow, whole: Projection) -> None:
    (run,) = runs_of(server)
    client = server._client
    assert run.info.run_name == "random"
    assert run.info.status == "FINISHED"
    assert run.data.tags["rdpt.configuration"] == DIGEST
    assert len(client.get_metric_history(run.info.run_id, LOSS)) == 5
    assert len(client.get_metric_history(run.info.run_id, "accuracy")) == 1
    assert {k: run.data.params[k] for k in whole.params} == whole.params
    assert len(run.inputs.dataset_inputs) == 1
    listed = {f.path for f in client.list_artifacts(run.info.run_id)}
    assert listed == {"experiment.toml", "results.csv", "students", "selection", "provenance"}


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
    assert all(place.startswith(f"{moved.as_uri()}/mlartifacts/toy") for place in places)
    assert len([*(moved / "mlartifacts" / "toy").rglob("fresh.txt")]) == 1
    assert len([*(moved / "mlartifacts" / "toy").rglob("results.csv")]) == 2
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
    (run,) = [run for run in runs_of(server) if run.data.tags["rdpt.configuration"] == DIGEST]
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


def test_losses_that_were_told_live_are_not_told_twice(server: Mlflow, whole: Projection) -> None:
    later = SimpleNamespace(name="later", digest="e" * 32)
    server.tell_losses(later, [Point(LOSS, 0.5, 2, 123), Point(LOSS, 1.0, 1, 123)])
    server.tell_losses(later, whole.losses)
    history = server._client.get_metric_history(server._runs[later.digest], LOSS)
    assert [m.step for m in sorted(history, key=lambda m: m.step)] == [1, 2, 3, 4, 5]
    server._client.delete_run(server._runs[later.digest])


def test_what_a_person_wrote_stays(server: Mlflow, whole: Projection) -> None:
    (run,) = runs_of(server)
    server._client.set_tag(run.info.run_id, "mlflow.note.content", "mine")
    server._client.set_tag(run.info.run_id, "mlflow.runName", "my name")
    server.tell(whole)
    (run,) = runs_of(server)
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
    assert state["columnWidths"]["metrics.`teacher_share`"] > 85
    server._client.set_experiment_tag(identity, tag, "mine")
    again = Mlflow(made.runtime, "toy")
    again.open()
    assert again._client.get_experiment(identity).tags[tag] == "mine"


def test_each_view_charts_the_curves_of_all_configurations(whole: Projection) -> None:
    state = views.state_of(
        {
            "order_by": "metrics.accuracy",
            "columns": ["metrics.accuracy"],
            "folded": ["grades"],
            "sections": [
                {"title": "By position", "lines": ["provenance/teacher/correct"]},
                {"title": "Numbers", "bars": ["accuracy", "tokens"]},
            ],
        }
    )
    shown = {s["name"]: s["display"] for s in state["compareRunSections"]}
    assert shown == {"By position": True, "Numbers": True, "grades": False}
    charts = [(c["metricSectionId"], c["type"], c["metricKey"]) for c in state["compareRunCharts"]]
    assert charts == [
        ("By position", "LINE", "provenance/teacher/correct"),
        ("Numbers", "BAR", "accuracy"),
        ("Numbers", "BAR", "tokens"),
    ]
    assert len({chart["uuid"] for chart in state["compareRunCharts"]}) == len(charts)


def test_the_shipped_comparison_names_metrics_that_runs_have(whole: Projection) -> None:
    (path,) = [path for path in views.view_files() if path.stem == "comparison"]
    view = tomllib.loads(path.read_text())
    curves = {f"provenance/{label}/{side}" for label in FOUR_WAY for side in SIDES}
    assert set(view["sections"][0]["lines"]) == curves
    bare = {key for key in (point.key for point in whole.points) if "/" not in key}
    columns = {column.removeprefix("metrics.") for column in view["columns"]}
    assert bare <= columns
    assert set(view["widths"]) == set(view["columns"])
