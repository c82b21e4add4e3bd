"""MLflow, told about configurations while a run goes on. The only file that imports mlflow.

MLflow is a projection: whatever happens to it, the store keeps every number and `rdpt sync` tells
it again. So all calls are made by a thread of their own, a run waits for that thread for 10 s in
all, and after the first failure there is one warning and no further attempt.
"""

from __future__ import annotations

import fcntl
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
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from rdpt_core.defaults import MLFLOW_PORT
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
"""Seconds that a run waits for MLflow, in all."""
REQUIRED_PATIENCE = 30.0
"""The same for the first answer of an MLflow that is required."""
PROBE_SECONDS = 3.0
LINK_SECONDS = 10.0
"""That a command waits for the link to its results, where no run told MLflow before."""
LIVE_SECONDS = 2.0
"""Between two tellings of training steps: a step is some milliseconds of a small model."""
LOSS = "students/loss"
HELD_OUT_LOSS = "students/held_out_loss"
OURS = "rdpt.wrote."
"""Digest of what was last written to a tag that people may edit; theirs is never replaced."""
DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # by default an absent server takes 247 s to fail
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout is for the table of results
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "DO_NOT_TRACK": "1",
}
LOCAL = f"http://127.0.0.1:{MLFLOW_PORT}"
"""Where `rdpt ui` serves the MLflow of a workspace unless it is given another port."""
_OPENED: dict[tuple[str, str], str | None] = {}
"""Address and name to the id of an experiment that this process told about; None where MLflow
failed, so that a run which waited for it once does not wait again for a link."""


class Named(Protocol):
    """What is known of a configuration before it is complete."""

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...


class Tracker:
    """Tells MLflow about the configurations of one experiment.

    No method fails or waits because of MLflow, except where the runtime says that tracking is
    required: then the first failure is raised as ConnectionError, as is a first answer that does
    not come; what follows may take as long as it does.
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
            # A daemon, so that a call which hangs cannot keep the process alive.
            threading.Thread(target=self._act, name="mlflow", daemon=True).start()
            self._work.put(self._mlflow.open)
            if self._required:
                self.close(REQUIRED_PATIENCE)

    def step(self, configurations: Sequence[Named], row: TrainingStep) -> None:
        """A training step as it comes about."""
        if not self._silent and isinstance(row, TrainingStep):
            for configuration in configurations:
                self._steps.put((configuration, row))

    def configuration(self, name: str, project: Callable[[], Projection]) -> None:
        """Everything of a complete configuration. `project` is called here, since it reads the
        store, and only if somebody listens."""
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

    def close(self, patience: float = math.inf) -> None:
        """Waits until all is told: `patience` where tracking is required, else what is left of the
        run's."""
        if self._off:
            return
        begun = time.monotonic()
        patience = patience if self._required else self._patience
        self._work.put(lambda: None)  # wakes the thread, and is done after the last steps
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
    """The calls themselves. Each may raise anything, and may be slow."""

    def __init__(self, runtime: Runtime, experiment_name: str) -> None:
        self._runtime, self._name = runtime, experiment_name
        self._runs: dict[str, str] = {}

    def open(self) -> None:
        """Finds or makes the experiment. The address is probed first, which takes milliseconds
        where importing mlflow and its retries take seconds."""
        uri = self._runtime.tracking_uri
        probe(uri)
        set_defaults()
        rehome(self._runtime)
        self._client = connect(uri)
        with self._alone():
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
    def _place(self) -> tuple[str, str]:
        return self._runtime.tracking_uri, self._name

    def forget(self) -> None:
        """No link is asked for any more."""
        _OPENED[self._place] = None

    def _found_experiment(self) -> Experiment | None:
        return self._client.get_experiment_by_name(self._name)

    def _made_experiment(self) -> Experiment:
        local = self._runtime.tracking_uri.startswith("sqlite:")
        folder = artifact_folder(self._runtime, self._name)
        place = folder.as_uri() if local else None  # a server has a place of its own
        made = self._client.create_experiment(self._name, artifact_location=place)
        return self._client.get_experiment(made)

    def _keep_views(self) -> None:
        experiment = self._experiment
        for key, value in view_tags(experiment.creation_time or 0).items():
            for tag, text in kept(experiment.tags, key, value).items():
                self._client.set_experiment_tag(experiment.experiment_id, tag, text)

    # ------------------------------------------------------------------ runs

    def _run_of(self, configuration: Named, begun: int | None = None) -> str:
        """The run with the configuration's tag, made with it where there is none: so a process
        that is killed at any point leaves one run at most."""
        digest = configuration.digest
        if digest not in self._runs:
            with self._alone():
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

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two runs on one workspace must not both find nothing and both make it."""
        self._runtime.workspace.mkdir(parents=True, exist_ok=True)
        with (self._runtime.workspace / ".mlflow.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    # ------------------------------------------------------------------ telling

    def tell_losses(self, configuration: Named, points: Sequence[Point]) -> None:
        """Training steps that the run does not have yet: they were told live, at other times."""
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
        # A parameter cannot be changed; one that was (a renamed model) keeps its first name.
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
    """Where a named view of an experiment opens; of a local file, where `rdpt ui` serves it.

    None where MLflow is off, does not answer or does not know the experiment: nothing is made.
    """
    uri = runtime.tracking_uri
    if runtime.tracking == "off":
        return None
    place = uri, experiment_name
    identity = _OPENED[place] if place in _OPENED else _experiment_id(uri, experiment_name)
    server = shown(uri).rstrip("/") if uri.startswith(("http://", "https://")) else LOCAL
    return identity and f"{server}/#/experiments/{identity}/runs?viewStateShareKey={view}"


def _experiment_id(uri: str, name: str) -> str | None:
    if uri.startswith("sqlite:///"):
        return _id_in_file(Path(uri.removeprefix("sqlite:///")), name)
    _OPENED[uri, name] = _within(LINK_SECONDS, lambda: _id_at(uri, name))
    return _OPENED[uri, name]


def _within(seconds: float, ask: Callable[[], T]) -> T | None:
    """The answer, or None where it takes longer. A limit of its own: those of sockets are for each
    read, and an answer that trickles in has no last one."""
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
    """Asked of the database itself: to import MLflow for one number takes seconds."""
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
    """Of every step, and of what was held out where it was measured. `when` in milliseconds."""
    points = [Point(LOSS, row.loss, row.step, when) for row in rows]
    return points + [
        Point(HELD_OUT_LOSS, row.held_out_loss, row.step, when)
        for row in rows
        if row.held_out_loss is not None
    ]


def probe(uri: str) -> None:
    """Raises where the address certainly does not serve: nobody listens, no answer, a lock."""
    if uri.startswith("sqlite:///"):
        path = uri.removeprefix("sqlite:///")
        Path(path).resolve().parent.mkdir(parents=True, exist_ok=True)
        if Path(path).exists():
            connection = sqlite3.connect(path, timeout=PROBE_SECONDS, isolation_level=None)
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            except sqlite3.OperationalError:  # somebody writes, or the disk is full
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
            if error.code >= 500:  # others answer what they like to a stranger
                raise


def connect(uri: str) -> MlflowClient:
    from mlflow.tracking import MlflowClient

    # Some 40 lines on the making of a fresh database; only after the import, which sets levels.
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri)


def kept(tags: dict[str, str], key: str, value: str) -> dict[str, str]:
    """What to write for a tag that people may edit: nothing once they did."""
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
    """Without the user and password that an address may hold."""
    return re.sub(r"://[^/@\s]+@", "://", text)
