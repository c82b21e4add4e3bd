"""A run as Prefect shows it: what `rdpt run` and a deployment tell the same server."""

from __future__ import annotations

import concurrent.futures
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import prefect.settings as prefect_settings
import pytest
from prefect import flow, get_client
from prefect.client.schemas import filters
from prefect.client.schemas.objects import Artifact, FlowRun, TaskRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.futures import PrefectConcurrentFuture, wait
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect.testing.utilities import prefect_test_harness

from flows import errors
from flows.experiment import PrefectGone, _error, experiment, run_flow
from flows.workspace import Opened
from rdpt_core.finetune import training
from rdpt_core.models.serving.http import Refused, Unreachable
from rdpt_core.store.parts import Store, contents_digest
from rdpt_core.tables.rows import Problem, Trace
from settings.runtime import Runtime
from tasks import table
from tasks.plan import Plan
from tasks.progress import TableProgress
from tasks.run_logs import keep_run_logs_off_the_terminal
from tasks.stage import stage
from tasks.turns import Turns
from tasks.worker import Worker
from tasks.workers.loop import Job
from tasks.workers.runner import Threads
from tests.core.models import tiny
from tests.flows.conftest import TWO_ARMS
from tests.flows.example_experiments import Studio, copying_train
from tests.stages import toy_stages

CANARY = "canary-0123456789"
FINAL = ("Completed", "Cached", "Failed", "Cancelled", "Crashed", "Skipped")
SMALL: dict[str, Any] = {"limit": 8, "students": TWO_ARMS}
Names = dict[str, TaskRun]


@dataclass
class Ran:
    """A study in a folder of its own, which a deployment has run with one worker."""

    studio: Studio
    opened: Opened
    run: FlowRun
    parts: Overlap
    tables: Overlap

    def changed(self, beta: float) -> Opened:
        """The same study with another rule for selecting: all before that is in the store."""
        opened = self.studio.open(**SMALL, beta=beta)
        runtime = opened.runtime.model_copy(update={"tracking": "off"})
        return replace(opened, runtime=runtime)


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Prefect server of this module's own, with a database of its own."""
    keep_run_logs_off_the_terminal()
    logging.getLogger("prefect").setLevel(logging.ERROR)
    home = {prefect_settings.PREFECT_HOME: tmp_path_factory.mktemp("prefect")}
    with (
        prefect_settings.temporary_settings(home),
        prefect_test_harness(server_startup_timeout=300),
    ):
        yield


@pytest.fixture(scope="module")
def ran(server: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    studio = Studio(tmp_path_factory.mktemp("a study"))
    for seed, name in enumerate(("teacher", "student")):
        tiny.make_qwen(studio.folder / name, seed=seed)
    studio.write_problems("problems", range(8))
    studio.write_problems("bench", range(100, 104))
    opened = studio.open(**SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "train", copying_train)
        patch.chdir(studio.folder)
        with pytest.MonkeyPatch.context() as first:
            first.setenv("RDPT_WORKERS", "1")
            parts, tables = Overlap(first, Worker, "_build"), Overlap(first, Worker, "build")
            assert deployed()
        yield Ran(studio, opened, last_run(), parts, tables)


def deployed() -> bool:
    """Calls the flow as a deployment's worker does; true if it completed."""
    return bool(experiment("study.toml", return_state=True).is_completed())


# ---------------------------------------------------------------------------- what Prefect knows


def last_run() -> FlowRun:
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)[0]


def tasks_of(run: FlowRun, num: int | None = None) -> Names:
    """Task runs by name, once all are told: Prefect records their states a moment later."""
    one = filters.FlowRunFilter(id=filters.FlowRunFilterId(any_=[run.id]))

    def found() -> Names:
        with get_client(sync_client=True) as client:
            return {t.name: t for t in client.read_task_runs(flow_run_filter=one, limit=200)}

    return eventually(found, lambda tasks: _all_final(tasks, num))


def _all_final(tasks: Names, num: int | None) -> bool:
    return len(tasks) >= (num or 1) and all(t.state_name in FINAL for t in tasks.values())


def eventually(ask: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
    """The first answer that holds; the last one where none does."""
    for _ in range(240):
        if holds(answer := ask()):
            break
        time.sleep(0.25)
    return answer


def logs_of(run: FlowRun) -> list[str]:
    only = {"logs": {"flow_run_id": {"any_": [str(run.id)]}}, "limit": 200}
    return [line["message"] for line in _post("/logs/filter", only)]


def artifact_of(run: FlowRun) -> Artifact:
    one = {"flow_runs": {"id": {"any_": [str(run.id)]}}}
    (found,) = _post("/artifacts/filter", one)
    return Artifact.model_validate(found)


def lineage_of(run: FlowRun) -> dict[str, set[str]]:
    """Key of every asset that the run made to the keys of those that it was made from."""
    only = {"event": {"name": ["prefect.asset.materialization.succeeded"]}}
    of = {"related": {"id": [f"prefect.flow-run.{run.id}"]}}
    found = _post("/events/filter", {"filter": only | of, "limit": 50})
    return {
        event["resource"]["prefect.resource.id"]: {
            one["prefect.resource.id"]
            for one in event["related"]
            if one["prefect.resource.role"] == "asset"
        }
        for event in found["events"]
    }


def _post(address: str, body: dict[str, Any]) -> Any:
    with get_client(sync_client=True) as client:
        return client._client.post(address, json=body).raise_for_status().json()


# ---------------------------------------------------------------------------- the tests


def test_every_table_is_a_task_with_its_name_its_tags_and_its_lines(ran: Ran) -> None:
    assert (ran.run.name, ran.run.state_name) == ("study", "Completed")
    assert ran.run.tags == ["experiment:study"]
    tables = ran.opened.study.tables()
    tasks = tasks_of(ran.run, len(tables))
    assert len(tasks) == len(tables)
    assert {name.split()[0] for name in tasks} == {one.name for one in tables}
    assert set(tasks["scores teacher test:bench [random]"].tags) == {
        "configuration:random",
        "experiment:study",
        "model",
        "side:test:bench",
        "stage:scores",
    }
    shared = set(tasks["problems train [all]"].tags)
    assert {"configuration:random", "configuration:teacher_count"} < shared
    assert "model" not in shared
    lines = eventually(lambda: logs_of(ran.run), lambda lines: len(lines) > 2 * len(tables))
    assert "0 of 2 parts are in the store" in lines
    assert any(line.startswith("done in ") for line in lines)


def test_with_one_worker_a_deployed_run_makes_one_part_at_a_time_with_one_model(ran: Ran) -> None:
    plan = Plan(ran.opened.store)
    stages = [one for one in ran.opened.study.tables() if hasattr(one, "stage")]
    assert 0 < ran.parts.num_seen <= sum(len(plan.state(one).parts) for one in stages)
    assert (ran.parts.most, ran.tables.most) == (1, 1)


def test_the_results_are_an_artifact_with_a_row_for_each_configuration(ran: Ran) -> None:
    artifact = artifact_of(ran.run)
    assert (artifact.key, artifact.type) == ("results-study", "table")
    rows = rows_in(artifact)
    assert [row["configuration"] for row in rows] == [
        c.name for c in ran.opened.study.configurations()
    ]
    for row in rows:
        assert row["benchmark"] == "bench"
        assert row["questions"] == 4
        assert 0.0 <= float(row["accuracy"]) <= 1.0
        assert row["95% interval"].startswith("[")
        assert row["state"] == "complete"
        assert row["MLflow"].startswith("[run](http://127.0.0.1:5000/#/experiments/")


def test_the_lineage_names_tables_by_what_they_hold(ran: Ran) -> None:
    plan = Plan(ran.opened.store)
    tables = {one.name: one for one in ran.opened.study.tables()}
    keys = {
        one.digest: f"rdpt://study/{one.name}/{contents_digest(plan.state(one).parts)}"
        for one in ran.opened.study.tables()
    }
    made = keys[tables["selection"].digest]
    lineage = eventually(lambda: lineage_of(ran.run), lambda found: made in found)
    assert lineage[made] == {keys[needed.digest] for needed in table.needs_of(tables["selection"])}
    assert set(lineage) <= set(keys.values())


def test_a_resumed_run_shows_what_was_cached(ran: Ran) -> None:
    (sentences, *_) = [c for c in ran.opened.study.tables() if c.name == "sentences"]
    lost = Plan(ran.opened.store).state(sentences).parts[0]
    (ran.opened.store.root / lost.table / f"{lost.key}.parquet").unlink()
    assert deployed()
    tasks = tasks_of(last_run(), len(ran.opened.study.tables()))
    made = {name: task for name, task in tasks.items() if task.state_name != "Cached"}
    assert list(made) == ["sentences train [all]"]
    assert said_of(made["sentences train [all]"]) == "parts: 1 found, 1 made"


@pytest.mark.fault("X6")
@pytest.mark.parametrize(("way", "beta"), [("typed", 0.2), ("deployed", 0.3)])
def test_a_run_whose_table_failed_is_a_failed_flow_run_that_repeats_no_secret(
    way: str, beta: float, ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = ran.changed(beta)
    monkeypatch.setenv("HF_TOKEN", CANARY)
    monkeypatch.setenv("RDPT_TRACKING", "off")
    fault = ValueError(f"key {CANARY}\x1b[2J refused")
    monkeypatch.setattr(Worker, "build", failing("selection", fault))
    failed = ["selection train [random]", "selection train [teacher_count]"]
    if way == "typed":
        failures = run_flow(opened)
        assert sorted(failures) == failed
        assert {errors.code_of(error) for error in failures.values()} == {errors.STAGE}
    else:
        assert not deployed()
    run = last_run()
    assert (run.name, run.state_name) == ("study", "Failed")
    lines = [f"{name}: key [secret]\\x1b[2J refused" for name in failed]
    assert sorted(said_of(run).splitlines()) == lines
    tasks = tasks_of(run, len(opened.study.tables()))
    assert {tasks[name].state_name for name in failed} == {"Failed"}
    skipped = tasks["results train [random]"]
    assert skipped.state_name == "Skipped"
    assert said_of(skipped) == "needs selection, students, which could not be built"
    artifact = artifact_of(run)
    lines = eventually(lambda: logs_of(run), lambda lines: "Failed" in "".join(lines))
    told = "".join(one.model_dump_json() for one in (run, *tasks.values(), artifact))
    assert CANARY not in told + json.dumps(lines)
    assert {row["configuration"]: row["state"] for row in rows_in(artifact)} == {
        "teacher": "complete",
        "student": "complete",
        "teacher_count": "incomplete",
        "random": "incomplete",
    }


def test_a_deployed_run_is_refused_before_any_work_for_what_is_wrong_with_its_inputs(
    ran: Ran, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RDPT_WORKSPACE", str(tmp_path / "workspace"))
    problems = (ran.studio.folder / "bench.jsonl").rename(tmp_path / "bench.jsonl")
    assert not deployed()
    problems.rename(ran.studio.folder / "bench.jsonl")
    run = last_run()
    assert run.state_name == "Failed"
    assert "benchmark bench, problems" in said_of(run)
    assert not (tmp_path / "workspace" / "store").exists()


@pytest.mark.fault("F20")
@pytest.mark.parametrize(
    ("num_failures", "error", "state", "num_tries"),
    [
        (2, Unreachable("the server is away"), "Completed", 3),
        (3, Unreachable("the server is away"), "Failed", 3),
        (1, Refused("a wrong key", 401), "Failed", 1),
    ],
)
def test_a_table_is_tried_again_if_its_server_was_away(
    num_failures: int,
    error: Exception,
    state: str,
    num_tries: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(table, "RETRY_SECONDS", [0.0, 0.0])
    monkeypatch.setattr(Worker, "build", failing("traces", error, num_failures))
    run = run_toys(tmp_path, [ToyModel("it is", is_remote=True, has_weights=False)])
    (task,) = tasks_of(run).values()
    assert (task.state_name, task.run_count) == (state, num_tries)
    assert {"server", "stage:traces"} == set(task.tags)


def test_a_limit_of_the_server_on_models_holds_for_tables_that_have_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Turns hold within one process; here each table has turns of its own, as in two runs."""
    limit = {"name": f"tag:{table.HOLDS_MODEL}", "limit": 1}
    with get_client(sync_client=True) as client:
        client._client.post("/v2/concurrency_limits/", json=limit).raise_for_status()
        models = Overlap(monkeypatch, Worker, "build")
        run = run_toys(tmp_path, [ToyModel("it is"), ToyModel("I say")])
        client._client.delete(f"/v2/concurrency_limits/{limit['name']}").raise_for_status()
    assert {task.state_name for task in tasks_of(run, 2).values()} == {"Completed"}
    assert (models.num_seen, models.most) == (2, 1)


STOPPED = """
from flows.experiment import run_flow
from flows.workspace import open_file
from pathlib import Path
from rdpt_core.models.serving.http import Unreachable
from settings.runtime import Runtime
from settings.runtime import Runtime
from tasks import table
from tasks.worker import Worker
from tasks.workers.loop import Job
from tasks.workers.runner import Threads

def away(worker, one):
    print("away", flush=True)
    raise Unreachable("the server is away")

Worker.build = away
table.has_model = lambda one, claim: claim == "is_remote"
table.RETRY_SECONDS = [3600.0]
runtime = Runtime(workspace=Path("elsewhere"), threads=1, tracking="off", workers=2)
run_flow(open_file(Path("study.toml"), runtime))
"""


@pytest.mark.fault("F27", "F28")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_waits_to_try_again_stops_at_once_when_it_is_told_to(
    ran: Ran, root: Path, number: signal.Signals, code: int
) -> None:
    address = str(prefect_settings.PREFECT_API_URL.value())
    child = subprocess.Popen(
        [sys.executable, "-c", STOPPED],
        cwd=ran.studio.folder,
        env={**os.environ, "PREFECT_API_URL": address, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "away\n"
    child.send_signal(number)
    _, said = child.communicate(timeout=300)
    assert child.returncode == code, said
    assert "stopped; resume with: rdpt resume study" in said
    assert last_run().state_name == "Cancelled"


# ---------------------------------------------------------------------------- equipment


class Overlap:
    """How many tables of a method were under way at the same time, at most."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        self.most = self.num_seen = self._now = 0
        self._lock = threading.Lock()
        method = getattr(owner, name)

        def counted(*arguments: Any) -> Any:
            with self._lock:
                self.num_seen += 1
                self._now += 1
                self.most = max(self.most, self._now)
            try:
                return method(*arguments)
            finally:
                with self._lock:
                    self._now -= 1

        monkeypatch.setattr(owner, name, counted)


@dataclass(frozen=True)
class ToyModel:
    style: str
    is_remote: bool = False
    has_weights: bool = True

    def identity(self) -> str:
        return self.style

    def parts_at_once(self, runtime: Any) -> int:
        return 1


@stage("traces", version=1, row=Trace, over="problems")
def speak(problems: list[Problem], model: ToyModel) -> Iterator[Trace]:
    yield from toy_stages.write.function(problems=problems, sample_index=0, style=model.style)


def run_toys(folder: Path, toys: list[ToyModel]) -> FlowRun:
    """Runs a table for each model in a flow of their own, with turns of its own."""
    runtime = Runtime(workspace=folder, workers=4)
    store, problems = Store(runtime.store_folder), toy_stages.given(range(8))
    problems.read(store)

    @flow
    def toys_alone() -> None:
        futures = []
        pool: TaskRunner[Any] = ThreadPoolTaskRunner()
        with pool as runner:
            for toy in toys:
                one = speak(problems=problems, model=toy)
                plan = Plan(store)
                task = table.TableTask(
                    Job(one, toy.style, "tokens"),
                    plan,
                    Threads("toys", plan, runtime, Turns(4)),
                    TableProgress(toy.style, "tokens", quiet=True),
                    "toys",
                    frozenset({"stage:traces"}),
                )
                futures.append(task.submit(runner, []))
            wait(futures)

    toys_alone()
    return last_run()


def failing(table: str, error: Exception, times: int = 99) -> Callable[..., None]:
    """`Worker.build`, which raises the error so many times for tables of that name."""
    build = Worker.build
    left: dict[str, int] = {}

    def act(worker: Worker, one: Any) -> None:
        if one.name == table and left.setdefault(one.digest, times):
            left[one.digest] -= 1
            raise error
        build(worker, one)

    return act


def said_of(run: FlowRun | TaskRun) -> str:
    return (run.state and run.state.message) or ""


def rows_in(artifact: Artifact) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(str(artifact.data))
    return rows


@pytest.mark.fault("F18")
def test_f18_a_task_that_prefect_could_not_begin_is_a_server_that_is_gone() -> None:
    """Then the task has no state: the engine itself raised, as at a limit on concurrency."""
    never: concurrent.futures.Future[Any] = concurrent.futures.Future()
    never.set_exception(ConcurrencySlotAcquisitionError("Unable to acquire concurrency slots"))
    found = _error(PrefectConcurrentFuture(uuid.uuid4(), never))
    assert isinstance(found, PrefectGone)
    assert errors.code_of(found) == errors.SERVICE
    assert "Prefect's server stopped answering (Unable to acquire" in str(found)
