"""A crew on a Ray cluster: Ray chooses the machines, and starts a worker again whose machine died.

Ray itself is used, and not the task runner of prefect-ray: a worker is no task of Prefect, and on
another machine it could not reach the server of a run, which listens on loopback alone. Each Ray
task starts the same worker process as `processes.py` and waits for it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rdpt_core.machine.resources import OutOfMemory
from settings.runtime import RayCluster
from tasks.workers.processes import MOST_STARTS, end, start_worker

GB = 10**9
MOST_RETRIES = 3
"""Times that a worker is started elsewhere whose machine died, or that was killed there."""


@dataclass
class RayCrew:
    """Workers as Ray tasks, each with the resources that were declared for a worker."""

    command: Sequence[str]
    number: int
    settings: Mapping[str, str]
    logs: Path
    name: str
    cluster: RayCluster
    tasks: list[Any] = field(default_factory=list)
    num_starts: int = 0
    has_begun: bool = False
    """True if this crew has connected to the cluster, and so disconnects."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        with self.lock:
            if self.num_starts == 0:
                self._connect()
                self._fill()

    def check(self) -> None:
        """Raises what a Ray task raised after all its retries, and RuntimeError where workers end
        again and again."""
        import ray

        with self.lock:
            ended, self.tasks = ray.wait(self.tasks, num_returns=len(self.tasks), timeout=0)
            try:
                ray.get(ended)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except ray.exceptions.RayError as error:
                raise RuntimeError(f"a worker on Ray was lost: {error}") from None
            if not self.tasks:
                self._fill()

    def end(self) -> None:
        """A worker ends when its Ray task does, whose end closes its standard input."""
        import ray

        with self.lock:
            for task in self.tasks:
                with suppress(ray.exceptions.RayError):
                    ray.cancel(task, force=True)
            self.tasks = []
            if self.has_begun:
                ray.shutdown()

    def _connect(self) -> None:
        import ray

        if ray.is_initialized():
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        address = None if self.cluster.address == "local" else self.cluster.address
        ray.init(address=address, configure_logging=False, log_to_driver=False)
        self.has_begun = True

    def _fill(self) -> None:
        import ray

        if self.num_starts == MOST_STARTS:
            raise RuntimeError(f"workers end although parts are missing; their logs: {self.logs}")
        self.num_starts += 1
        options: dict[str, Any] = {
            "num_cpus": self.cluster.cpus,
            "num_gpus": self.cluster.gpus,
            "max_retries": MOST_RETRIES,
            "retry_exceptions": [OutOfMemory],
        }
        if self.cluster.memory_gb:
            options["memory"] = round(self.cluster.memory_gb * GB)
        work = ray.remote(**options)(attend)
        logs = [self.logs / f"{self.name}-worker-{number}.log" for number in range(self.number)]
        self.tasks = [work.remote(list(self.command), dict(self.settings), log) for log in logs]


def attend(command: Sequence[str], settings: Mapping[str, str], log: Path) -> None:
    """Runs a worker on a machine of the cluster, on the GPUs that Ray gives to this task."""
    worker = start_worker(command, settings, log)
    try:
        if worker.wait() == -signal.SIGKILL:
            raise OutOfMemory(
                f"worker {worker.pid} on {os.uname().nodename} was killed, probably for lack of "
                f"memory: set RDPT_WORKERS to fewer, or RDPT_RAY__MEMORY_GB; log: {log}"
            )
    finally:
        end([worker])
