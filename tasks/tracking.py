"""Logging of configurations to MLflow during a run. The only file that imports mlflow.

MLflow is a projection: whatever happens to it, the store keeps every number and `rdpt sync` logs it
again. So a separate thread makes all calls, a run waits for that thread 10 s in total, and after
the first failure there is one warning and no further attempt.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import queue
import re
import sqlite3
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from rdpt_core.defaults import MLFLOW_PORT
from rdpt_core.store.locks import exclusive
from rdpt_core.tables.rows import TrainingStep
from settings.runtime import Runtime
from tasks.artifacts import artifact_folder, rehome
from tasks.progress import say
from tasks.projection import Dataset, Point, Projection, run_name
from tasks.views import view_tags

if TYPE_CHECKING:
    from mlflow.entities import Experiment, Run
    from mlflow.tracking import MlflowClient

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds that a run waits for MLflow in total."""
REQUIRED_PATIENCE = 30.0
"""The same for the first response of a required MLflow."""
PROBE_SECONDS = 3.0
LINK_SECONDS = 10.0
"""Seconds that a command waits for the link to its results, if no run has logged to MLflow."""
LIVE_SECONDS = 2.0
"""Seconds between two batches of training steps: a small model takes milliseconds per step."""
LOSS = "students/loss"
HELD_OUT_LOSS = "students/held_out_loss"
OURS = "rdpt.wrote."
"""Digest of the last value that rdpt wrote to a tag that users may edit; edits are kept."""
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # by default an unreachable server takes 247 s to fail
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout is for the results table
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "DO_NOT_TRACK": "1",
}
LOCAL = f"http://127.0.0.1:{MLFLOW_PORT}"
"""Address at which `rdpt ui` serves the MLflow of a workspace, unless another port is given."""
_OPENED: dict[tuple[str, str], str | None] = {}
"""Address and name to the id of an experiment that this process logged; None if MLflow failed, so
that a run does not wait for it again to print a link."""


class Named(Protocol):
    """A configuration before it is complete."""

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...


class Tracker:
    """Logs the configurations of one experiment to MLflow.

    No method fails or waits because of MLflow, unless the runtime requires tracking: then the first
    failure, or a missing first response, is raised as ConnectionError; later calls may take any
    time.
    """

    def __init__(self, runtime: Runtime, experiment_name: str) -> None:
        self._runtime = runtime
        self._required = runtime.tracking_required
        self._off = runtime.tracking == "off"
        self._patience = PATIENCE
        self._fault: Exception | None = None
        self._said = False
        self._steps: queue.SimpleQueue[tuple[Named, TrainingStep]] = queue.SimpleQueue()
        self._work: queue.Queue[Callable[[], None]] = queue.Queue()
        self._mlflow = Mlflow(runtime, experiment_name)
        if not self._off:
            # A daemon, so that a hanging call cannot keep the process alive.
            threading.Thread(target=self._act, name="mlflow", daemon=True).start()
            self._work.put(self._mlflow.open)
            if self._required:
                self.close(REQUIRED_PATIENCE)

    def step(self, configurations: Sequence[Named], row: TrainingStep) -> None:
        """Logs a training step live."""
        if not self._silent and isinstance(row, TrainingStep):
            for configuration in configurations:
                self._steps.put((configuration, row))

    def configuration(self, name: str, project: Callable[[], Projection]) -> None:
        """Logs everything about a complete configuration. `project` is called in this thread, since
        it reads the store, and only if tracking is on."""
        self._raise_or_warn()
        if self._silent:
            return
        try:
            projection = project()
        except Exception as error:
            say(f"warning: {name} was not told to MLflow: {first_line(error)}; try `rdpt sync`")
            if self._required:
                raise
            return
        self._work.put(lambda: self._mlflow.tell(projection))

    def run_address(self, configuration: Named) -> str | None:
        """The page of a configuration's run; None while MLflow has not been told of it."""
        return self._mlflow.run_address(configuration) if not self._silent else None

    def close(self, patience: float = math.inf) -> None:
        """Waits until everything is logged: for `patience` if tracking is required, otherwise for
        the rest of the run's patience."""
        if self._off:
            return
        begun = time.monotonic()
        patience = patience if self._required else self._patience
        self._work.put(lambda: None)  # wakes the thread, and is processed after the last steps
        while self._busy and time.monotonic() - begun < patience:
            time.sleep(0.02)
        self._patience -= time.monotonic() - begun
        if self._busy:
            self._fault = self._fault or TimeoutError("it did not answer in time")
            self._mlflow.forget()
        self._raise_or_warn()

    @property
    def _silent(self) -> bool:
        return self._off or self._fault is not None

    @property
    def _busy(self) -> bool:
        return self._work.unfinished_tasks > 0 and self._fault is None

    def _raise_or_warn(self) -> None:
        if self._fault is None or self._said:
            return
        self._said = True
        line = f"MLflow at {shown(self._runtime.tracking_uri)}: {first_line(self._fault)}"
        if self._required:
            raise ConnectionError(line) from self._fault
        say(f"warning: {line}; the run goes on, `rdpt sync` tells MLflow later")

    # ------------------------------------------------------------------ in the thread

    def _act(self) -> None:
        while self._fault is None:
            try:
                work = self._work.get(timeout=LIVE_SECONDS)
            except queue.Empty:
                work = None
            try:
                if work is not None:
                    work()
                self._tell_steps()
            except Exception as error:
                self._fault = self._fault or error
                self._mlflow.forget()
            finally:
                if work is not None:
                    self._work.task_done()

    def _tell_steps(self) -> None:
        waiting: dict[str, tuple[Named, list[TrainingStep]]] = {}
        while not self._steps.empty():
            configuration, row = self._steps.get()
            waiting.setdefault(configuration.digest, (configuration, []))[1].append(row)
        now = int(time.time() * 1000)
        for configuration, rows in waiting.values():
            self._mlflow.tell_losses(configuration, loss_points(rows, now))


class Mlflow:
    """The calls to MLflow. Each may raise any error, and may be slow."""

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
            self._experiment = self._found_experiment() or self._made_experiment()
        if self._experiment.lifecycle_stage != "active":
            raise ValueError(
                f"experiment {self._name!r} was deleted there: restore it with "
                f"`mlflow experiments restore -x {self._experiment.experiment_id}`, "
                "or give this one another name"
            )
        _OPENED[self._place] = self._experiment.experiment_id
        self._keep_views()

    @property
    def _lock(self) -> Path:
        """Two runs on one workspace must not both find nothing and both make it."""
        return self._runtime.workspace / ".mlflow.lock"

    @property
    def _place(self) -> tuple[str, str]:
        return self._runtime.tracking_uri, self._name

    def forget(self) -> None:
        """Requests no link from now on."""
        _OPENED[self._place] = None

    def _found_experiment(self) -> Experiment | None:
        return self._client.get_experiment_by_name(self._name)

    def _made_experiment(self) -> Experiment:
        local = self._runtime.tracking_uri.startswith("sqlite:")
        folder = artifact_folder(self._runtime, self._name)
        place = folder.as_uri() if local else None  # a server has its own artifact folder
        made = self._client.create_experiment(self._name, artifact_location=place)
        return self._client.get_experiment(made)

    def _keep_views(self) -> None:
        experiment = self._experiment
        for key, value in view_tags(experiment.creation_time or 0).items():
            for tag, text in kept(experiment.tags, key, value).items():
                self._client.set_experiment_tag(experiment.experiment_id, tag, text)

    # ------------------------------------------------------------------ runs

    def run_address(self, configuration: Named) -> str | None:
        run_id = self._runs.get(configuration.digest)
        if run_id is None:
            return None
        server, experiment = server_of(self._runtime), self._experiment.experiment_id
        return f"{server}/#/experiments/{experiment}/runs/{run_id}"

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
        """Logs training steps that the run lacks: live steps have other timestamps."""
        run_id = self._run_of(configuration)
        known = {
            (key, m.step, m.value)
            for key in {p.key for p in points}
            for m in self._client.get_metric_history(run_id, key)
        }
        told = {(p.key, p.step, p.value): p for p in points}
        fresh = {one: p for one, p in told.items() if one not in known}
        self._log_points(run_id, list(fresh.values()))

    def tell(self, projection: Projection) -> None:
        run_id = self._run_of(projection, projection.begun)
        run = self._client.get_run(run_id)
        self._tell_words(run, projection)
        if projection.losses:
            self.tell_losses(projection, projection.losses)
        self._log_points(run_id, projection.points)
        self._log_datasets(run_id, projection.datasets)
        self._log_artifacts(run_id, projection)
        self._client.set_terminated(run_id, "FINISHED", projection.ended)

    def _tell_words(self, run: Run, projection: Projection) -> None:
        from mlflow.entities import Param, RunTag

        tags = dict(projection.tags) | kept(run.data.tags, "mlflow.note.content", projection.note)
        tags |= kept(run.data.tags, "mlflow.runName", run_name(projection.name))
        changed = {k: v for k, v in tags.items() if run.data.tags.get(k) != v}
        # MLflow cannot change a parameter; a changed value (a renamed model) keeps its first name.
        fresh = {k: v for k, v in projection.params.items() if k not in run.data.params}
        for some in blocks(list(changed.items()), 100):
            self._client.log_batch(run.info.run_id, tags=[RunTag(k, v) for k, v in some])
        for some in blocks(list(fresh.items()), 100):
            self._client.log_batch(run.info.run_id, params=[Param(k, v) for k, v in some])

    def _log_points(self, run_id: str, points: Sequence[Point]) -> None:
        from mlflow.entities import Metric

        for some in blocks(points, 1000):
            metrics = [Metric(p.key, p.value, p.timestamp, p.step) for p in some]
            self._client.log_batch(run_id, metrics=metrics)

    def _log_datasets(self, run_id: str, datasets: Iterable[Dataset]) -> None:
        from mlflow.entities import Dataset as Data
        from mlflow.entities import DatasetInput, InputTag

        inputs = [
            DatasetInput(
                Data(one.name, one.digest, "rdpt", one.source),
                [InputTag("mlflow.data.context", one.context)],
            )
            for one in datasets
        ]
        if inputs:
            self._client.log_inputs(run_id, inputs)

    def _log_artifacts(self, run_id: str, projection: Projection) -> None:
        with tempfile.TemporaryDirectory(prefix="rdpt-") as folder:
            for name, content in projection.artifacts.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            self._client.log_artifacts(run_id, folder)


# ---------------------------------------------------------------------------- addresses


def view_address(runtime: Runtime, experiment_name: str, view: str) -> str | None:
    """Address of a named view of an experiment; for a local file, the address of `rdpt ui`.

    None if MLflow is off, unreachable or lacks the experiment: nothing is created.
    """
    uri = runtime.tracking_uri
    if runtime.tracking == "off":
        return None
    place = uri, experiment_name
    identity = _OPENED[place] if place in _OPENED else _experiment_id(uri, experiment_name)
    page = f"#/experiments/{identity}/runs?viewStateShareKey={view}"
    return identity and f"{server_of(runtime)}/{page}"


def server_of(runtime: Runtime) -> str:
    """Address of the pages: of a local file, where `rdpt ui` serves it."""
    uri = runtime.tracking_uri
    return shown(uri).rstrip("/") if uri.startswith(("http://", "https://")) else LOCAL


def _experiment_id(uri: str, name: str) -> str | None:
    if uri.startswith("sqlite:///"):
        return _id_in_file(Path(uri.removeprefix("sqlite:///")), name)
    _OPENED[uri, name] = _within(LINK_SECONDS, lambda: _id_at(uri, name))
    return _OPENED[uri, name]


def _within(seconds: float, ask: Callable[[], T]) -> T | None:
    """The result of `ask`, or None after `seconds`. Socket timeouts apply per read, so they do not
    limit a response that trickles in."""
    answers: list[T] = []
    asking = threading.Thread(target=lambda: answers.append(ask()), daemon=True)
    asking.start()
    asking.join(seconds)
    return answers[0] if answers else None


def _id_at(uri: str, name: str) -> str | None:
    try:
        probe(uri)
        set_defaults()
        found = connect(uri).get_experiment_by_name(name)
    except Exception:  # the results stand without a link
        return None
    return found.experiment_id if found else None


def _id_in_file(path: Path, name: str) -> str | None:
    """Experiment id from the database file: importing MLflow for one number takes seconds."""
    place = f"file:{urllib.parse.quote(str(path.absolute()))}?mode=ro"
    try:
        with closing(sqlite3.connect(place, timeout=1.0, uri=True)) as database:
            sql = "SELECT experiment_id FROM experiments WHERE name = ?"
            found = database.execute(sql, [name]).fetchone()
    except sqlite3.Error:  # the results stand without a link
        return None
    return str(found[0]) if found else None


# ---------------------------------------------------------------------------- small things


def set_defaults() -> None:
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def loss_points(rows: Sequence[TrainingStep], when: int) -> list[Point]:
    """Loss of every step, and held-out loss of steps that have it. `when` in milliseconds."""
    points = [Point(LOSS, row.loss, row.step, when) for row in rows]
    return points + [
        Point(HELD_OUT_LOSS, row.held_out_loss, row.step, when)
        for row in rows
        if row.held_out_loss is not None
    ]


def probe(uri: str) -> None:
    """Raises if the address certainly does not work: connection refused, no response, a lock."""
    if uri.startswith("sqlite:///"):
        path = uri.removeprefix("sqlite:///")
        Path(path).resolve().parent.mkdir(parents=True, exist_ok=True)
        if Path(path).exists():
            connection = sqlite3.connect(path, timeout=PROBE_SECONDS, isolation_level=None)
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            except sqlite3.OperationalError:  # another process writes, or the disk is full
                raise
            except sqlite3.DatabaseError as error:
                raise ValueError(
                    f"{error}: move {path} away, and `rdpt sync` writes another one"
                ) from error
            finally:
                connection.close()
    elif uri.startswith(("http://", "https://")):
        try:
            with urllib.request.urlopen(uri.rstrip("/") + "/health", timeout=PROBE_SECONDS):
                pass
        except urllib.error.HTTPError as error:
            if error.code >= 500:  # other servers may reject the request
                raise


def connect(uri: str) -> MlflowClient:
    from mlflow.tracking import MlflowClient

    # Hides some 40 lines about creating a database; only after the import, which sets levels.
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri)


def kept(tags: dict[str, str], key: str, value: str) -> dict[str, str]:
    """Tags to write for a tag that users may edit: none after an edit."""
    mark = OURS + key.removeprefix("mlflow.")
    current = tags.get(key)
    if current is not None and tags.get(mark) != short(current):
        return {}
    return {key: value, mark: short(value)} if current != value else {}


def short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def blocks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def first_line(error: BaseException) -> str:
    lines = shown(str(error)).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def shown(text: str) -> str:
    """An address without its user and password."""
    return re.sub(r"://[^/@\s]+@", "://", text)
