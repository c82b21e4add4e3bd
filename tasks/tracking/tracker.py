"""Logging of configurations to MLflow during a run.

MLflow is a projection: whatever happens to it, the store keeps every number and `rdpt sync` logs it
again. So a separate thread makes all calls, a run waits for that thread 10 s in total, and after
the first failure there is one warning and no further attempt.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from rdpt_core.tables.rows import TrainingStep
from settings.runtime import Runtime
from tasks.progress import say
from tasks.projection import Projection, loss_points
from tasks.tracking.client import Mlflow, Named
from tasks.tracking.connection import first_line, shown

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds that a run waits for MLflow in total."""
REQUIRED_PATIENCE = 30.0
"""The same for the first response of a required MLflow."""
LIVE_SECONDS = 2.0
"""Seconds between two batches of training steps: a small model takes milliseconds per step."""


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
        projection = self._made(name, project)
        if projection is not None:
            self._work.put(lambda: self._mlflow.tell(projection))

    def files(self, configuration: Named, make: Callable[[], Mapping[str, bytes]]) -> None:
        """Adds files to the run of a configuration that was logged; `make` is called as `project`
        is."""
        files = self._made(f"a figure of {configuration.name}", make)
        if files is not None:
            self._work.put(lambda: self._mlflow.add_files(configuration, files))

    def _made(self, name: str, make: Callable[[], T]) -> T | None:
        self._raise_or_warn()
        if self._silent:
            return None
        try:
            return make()
        except Exception as error:
            say(f"warning: {name} was not told to MLflow: {first_line(error)}; try `rdpt sync`")
            if self._required:
                raise
            return None

    @property
    def is_on(self) -> bool:
        """True while MLflow takes what it is told."""
        return not self._silent

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
        say(f"warning: {line}; the run continues, `rdpt sync` logs to MLflow later")

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
