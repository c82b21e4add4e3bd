"""MLflow as a projection: told once, told again without a trace, and never in a run's way.

The store is real, and so is MLflow (sqlite); configurations are made of small stages by hand.
"""

from __future__ import annotations

import base64
import http.server
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import tomllib
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows.commands.ui.servers import mlflow_server
from flows.configurations import Configuration, TableUse
from flows.projection import MAX_METRICS, project
from flows.workspace import Opened
from rdpt_core.provenance.curves import SIDES
from rdpt_core.provenance.labels import FOUR_WAY
from rdpt_core.store.parts import file_hash
from rdpt_core.tables.recipe import Rule
from rdpt_core.tables.rows import (
    Direction,
    Grade,
    Label,
    Pick,
    Provenance,
    Result,
    Sentence,
    TrainingStep,
)
from settings.runtime import Runtime
from tasks import tracking, views
from tasks.artifacts import rehome
from tasks.projection import Point, Projection, metric_key, run_name, tag_key
from tasks.stage import Parts, Work, stage
from tasks.tracking import LOSS, Mlflow, Tracker, view_address
from tests.stages import toy_stages

Capture = pytest.CaptureFixture[str]
ANSWERS = 12
DIGEST = "d" * 32


# ---------------------------------------------------------------------------- a configuration


@stage("provenance", version=1, row=Provenance, over="sentences")
def classify(sentences: list[Sentence]) -> Iterator[Provenance]:
    for s in sentences:
        label = list(Label)[int(s.trace_id[0], 16) % 2]
        yield Provenance(s.trace_id, s.position, label, Direction.UP, 0.1, 0.5, 0.4, 0.6, None)


@stage("students", version=1, row=TrainingStep)
def learn(selection: Parts[Pick], work: Work) -> Iterator[TrainingStep]:
    out = work.payload
    out.mkdir()
    (out / "preview.txt").write_text("[masked] How much? [learned] it is 1\n")
    (out / "checkpoint").mkdir()
    (out / "checkpoint" / "model.safetensors").write_bytes(b"weights")
    for step in range(1, 6):
        yield TrainingStep("student", step, 1 / step, 1e-3, None, 10 * step, 20, 10, None)


@stage("results", version=1, row=Result)
def sum_up(grades: Parts[Grade], side: str, benchmark: str) -> Iterator[Result]:
    bare = {"test": {"accuracy": 0.123456, "teacher_share": 0.25}, "train": {"tokens": 321.0}}
    for metric, value in bare[side].items():
        yield Result(DIGEST, side, benchmark, metric, value, 0.1, 0.2, 8, None)
    for number in range(2 if benchmark == "bench" else 9):
        metric = f"grades/accuracy/part {number}/of nine"
        yield Result(DIGEST, side, benchmark, metric, 0.5, 0.1, 0.9, 4, None)
    yield Result(DIGEST, side, benchmark, "grades/nothing", None, None, None, 0, None)
    for number in range(70):
        yield Result(DIGEST, side, benchmark, f"grades/many/{number}", 1.0, None, None, 8, None)


class Question(Rule):
    """What an experiment is asked for its settings."""

    name: str = "toy"
    seed: int = 0
    labels: dict[str, float]
    benchmarks: list[dict[str, Any]]
    long: str = "x" * 40_000


def configuration(benchmarks: tuple[str, ...] = ("bench", "more")) -> Configuration:
    problems, traces, grades, sentences, picks = toy_stages.chain_of(
        toy_stages.given(range(ANSWERS))
    )
    labels, student = classify(sentences=sentences), learn(selection=picks)
    trained = [
        problems,
        traces,
        grades,
        picks,
        student,
        sum_up(grades=grades, side="train", benchmark="toy"),
    ]
    uses = [TableUse("train", None, table) for table in trained]
    for name in benchmarks:
        tested = [
            problems,
            traces,
            grades,
            sentences,
            labels,
            sum_up(grades=grades, side="test", benchmark=name),
        ]
        uses += [TableUse(f"test:{name}", None, table) for table in tested]
    return Configuration("random", "arm", "big", "small", "random", 0, tuple(uses), DIGEST)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """A workspace in which the configuration is complete."""
    folder = tmp_path_factory.mktemp("made")
    file = folder / "experiment.toml"
    file.write_text('name = "toy"\n')
    runtime = Runtime(workspace=folder / "workspace")
    tables = {use.table.digest: use.table for use in configuration().uses}
    toy_stages.build(runtime.store, list(tables.values()))
    question = Question(
        labels={"alpha": 0.1}, benchmarks=[{"name": "bench", "limit": 8}, {"name": "more"}]
    )
    return Opened(runtime, question, file, folder)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole(made: Opened) -> Projection:
    return project(made, configuration())


@pytest.fixture(scope="module")
def server(made: Opened, whole: Projection) -> Mlflow:
    """MLflow over a sqlite file, told everything twice."""
    for _ in range(2):
        mlflow = Mlflow(made.runtime, "toy")
        mlflow.open()
        mlflow.tell(whole)
    return mlflow


def runs_of(mlflow: Mlflow) -> list[Any]:
    return list(mlflow._client.search_runs([mlflow._experiment.experiment_id]))


# ---------------------------------------------------------------------------- the projection


def test_a_projection_is_the_same_each_time(made: Opened, whole: Projection) -> None:
    assert project(made, configuration()) == whole


def test_bare_metrics_are_rounded_and_other_benchmarks_have_a_slice(whole: Projection) -> None:
    values = {p.key: p.value for p in whole.points}
    assert values["accuracy"] == values["accuracy/more"] == 0.1235
    assert (values["accuracy_low"], values["accuracy_high"], values["tokens"]) == (0.1, 0.2, 321)
    assert values["seconds"] > 0
    assert "grades/nothing" not in values


def test_accuracy_by_domain_is_told_of_few_domains_whatever_their_names(whole: Projection) -> None:
    """Before metrics that nobody asked for; those of nine domains would drown the others."""
    found = [p.key for p in whole.points if p.key.startswith("grades/accuracy/")]
    assert found == ["grades/accuracy/part 0-of nine", "grades/accuracy/part 1-of nine"]


def test_t39_a_run_has_at_most_sixty_metrics(whole: Projection) -> None:
    """All traces are correct here, so the four curves of incorrect ones have no point."""
    assert len({p.key for p in (*whole.points, *whole.losses)}) == MAX_METRICS - 4


def test_curves_are_of_positions_with_enough_traces(whole: Projection) -> None:
    points = [p for p in whole.points if p.key == "provenance/teacher/correct"]
    assert [p.step for p in points] == [1]
    assert 0 <= points[0].value <= 1


def test_every_table_has_a_tag(whole: Projection) -> None:
    tables = {"problems", "traces", "grades", "sentences", "provenance", "results"}
    assert {f"rdpt.parts.test-bench.{table}" for table in tables} <= set(whole.tags)
    assert whole.tags["rdpt.parts.train.traces"] == whole.tags["rdpt.parts.test-more.traces"]


def test_t39_settings_are_params_and_none_is_cut_silently(whole: Projection) -> None:
    assert whole.params["labels.alpha"] == "0.1"
    assert whole.params["benchmarks.bench.limit"] == "8"
    assert whole.params["selector"] == "random"
    assert whole.params["long"].startswith("40000 characters, see experiment.toml; digest ")


def test_artifacts_show_examples_the_batch_and_the_shares(whole: Projection) -> None:
    assert set(whole.artifacts) == {
        "experiment.toml",
        "results.csv",
        "students/model.json",
        "students/preview.txt",
        "selection/examples.jsonl",
        "provenance/bench.png",
        "provenance/more.png",
    }
    lines = whole.artifacts["selection/examples.jsonl"].decode().splitlines()
    examples = [json.loads(line) for line in lines]
    assert [example["rank"] for example in examples] == [0, 1, 2]
    assert all(example["problem"].startswith("How much") for example in examples)


def test_a_model_is_a_link_into_the_store_and_no_copy(made: Opened, whole: Projection) -> None:
    model = json.loads(whole.artifacts["students/model.json"])
    (record,) = made.store.records("students")
    assert (model["name"], model["digest"]) == ("toy/random", record.part.content)
    weights = made.runtime.store / model["path"] / "model.safetensors"
    told = model["files"]["model.safetensors"]
    assert (told["size"], told["hash"]) == (weights.stat().st_size, file_hash(weights))
    assert f"`{model['path']}` in the store, with digest `{model['digest']}`" in whole.note
    assert not any(weights.read_bytes() in content for content in whole.artifacts.values())


def test_a_setting_of_the_experiment_is_not_taken_for_one_of_the_configuration(
    made: Opened,
) -> None:
    """The seed of a baseline stood in the comparison as if it had been trained with it."""
    seeded = made.experiment.model_copy(update={"seed": 17})
    baseline = replace(configuration(), seed=None, kind="teacher")
    params = project(replace(made, experiment=seeded), baseline).params
    assert "seed" not in params


def test_seconds_have_four_digits(whole: Projection) -> None:
    (seconds,) = [point.value for point in whole.points if point.key == "seconds"]
    assert seconds == float(f"{seconds:.4g}")


def test_the_note_says_that_there_is_one_seed(whole: Projection) -> None:
    assert "One fine-tuning seed (0)" in whole.note
    first = whole.note.splitlines()[0]
    assert first.startswith("**bench**: accuracy **0.123** [0.100, 0.200]")
    assert "| accuracy | 0.1235 | [0.100, 0.200] | 8 |" in whole.note


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_none_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="accuracy"):
        Point("accuracy", value, 0, 0)


def test_names_are_what_mlflow_takes() -> None:
    assert run_name("../a <b>; (c)") == "..-a -b-- -c-"
    assert metric_key("accuracy", "a/b:c") == "accuracy/a-b-c"
    assert tag_key("rdpt", "parts", "test:a.b", "traces") == "rdpt.parts.test-a-b.traces"


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


# ---------------------------------------------------------------------------- MLflow in trouble


def tell(runtime: Runtime, whole: Projection, steps: int = 50) -> float:
    """Seconds that a run spends on MLflow."""
    begun = time.monotonic()
    tracker = Tracker(runtime, "toy")
    for step in range(steps):
        tracker.step([whole], TrainingStep("s", step, 1.0, 1e-3, None, 1, 1, 1, None))
    tracker.configuration(whole.name, lambda: whole)
    tracker.configuration(whole.name, lambda: whole)
    tracker.close()
    return time.monotonic() - begun


@pytest.fixture
def dead() -> Iterator[str]:
    """A port that is ours and on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def mute() -> Iterator[str]:
    """A server that accepts and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def broken() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503)

        def log_message(self, *_: Any) -> None: ...

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()


@pytest.fixture
def half() -> Iterator[str]:
    """A server that says that it is well, and then answers nothing."""
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/health":
                over.wait()
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.daemon_threads = True
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}"
    over.set()
    served.shutdown()


@pytest.fixture
def endless() -> Iterator[str]:
    """A server whose every answer trickles in and has no end."""
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while not over.wait(0.2):
                    self.wfile.write(b" ")

        def log_message(self, *_: Any) -> None: ...

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.daemon_threads = True
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}"
    over.set()
    served.shutdown()


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "locked.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    yield f"sqlite:///{path}"
    connection.close()


@pytest.mark.parametrize("trouble", ["dead", "mute", "half", "broken", "endless", "locked"])
def test_an_mlflow_in_trouble_delays_a_run_by_seconds_and_warns_once(
    trouble: str,
    whole: Projection,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracking, "PATIENCE", 4.0)
    address = request.getfixturevalue(trouble)
    assert tell(Runtime(workspace=tmp_path, tracking=address), whole) < tracking.PATIENCE + 1
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert "rdpt sync" in warnings[0]


def test_one_that_hangs_later_costs_the_patience_and_no_more(
    whole: Projection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forever = threading.Event()
    monkeypatch.setattr(tracking, "PATIENCE", 0.5)
    monkeypatch.setattr(Mlflow, "open", lambda self: None)
    monkeypatch.setattr(Mlflow, "tell", lambda self, projection: forever.wait())
    assert tell(Runtime(workspace=tmp_path), whole, steps=0) < 2
    forever.set()


def test_a_link_is_waited_for_once_and_not_for_ever(
    tmp_path: Path, endless: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "LINK_SECONDS", 0.5)
    begun = time.monotonic()
    for _ in range(9):
        assert view_address(Runtime(workspace=tmp_path, tracking=endless), "toy", "x") is None
    assert time.monotonic() - begun < 4


def test_a_required_mlflow_whose_answer_has_no_end_is_an_error(
    tmp_path: Path, endless: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "REQUIRED_PATIENCE", 0.5)
    with pytest.raises(ConnectionError, match="did not answer in time"):
        Tracker(Runtime(workspace=tmp_path, tracking=endless, tracking_required=True), "toy")


def test_a_required_mlflow_that_is_down_is_an_error(
    whole: Projection, tmp_path: Path, dead: str
) -> None:
    runtime = Runtime(workspace=tmp_path, tracking=dead, tracking_required=True)
    with pytest.raises(ConnectionError, match=r"MLflow at http://127\.0\.0\.1"):
        tell(runtime, whole)


def test_tracking_that_is_off_makes_nothing(whole: Projection, tmp_path: Path) -> None:
    tell(Runtime(workspace=tmp_path, tracking="off"), whole)
    assert [*tmp_path.iterdir()] == []


def test_a_damaged_part_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> Projection:
        raise ValueError("part traces/1 was damaged")

    monkeypatch.setattr(Mlflow, "open", lambda self: None)
    tracker = Tracker(Runtime(workspace=tmp_path), "toy")
    tracker.configuration("random", fails)
    tracker.close()
    assert "random was not told to MLflow: part traces/1 was damaged" in capsys.readouterr().err


def test_a_live_run_has_its_losses_before_it_is_complete(made: Opened, server: Mlflow) -> None:
    early = SimpleNamespace(name="early", digest="f" * 32)
    tracker = Tracker(made.runtime, "toy")
    for step in range(1, 4):
        tracker.step([early], TrainingStep("s", step, 1.0 / step, 1e-3, None, step, 1, 1, None))
    tracker.close()
    run = server._found_run(early.digest)
    assert run is not None
    assert run.info.status == "RUNNING"
    assert len(server._client.get_metric_history(run.info.run_id, LOSS)) == 3
    server._client.delete_run(run.info.run_id)
