"""Worker processes on this machine, started and ended by a run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rdpt_core.machine.environment import worker_environment
from rdpt_core.machine.resources import OutOfMemory
from tasks import stopping
from tasks.progress import say

PATIENCE_SECONDS = 7.0
"""For a worker that was asked to end, until it is killed; what it has finished is kept."""
MOST_STARTS = 3
"""Times that workers are started who end though parts are missing."""
DEVICES = "CUDA_VISIBLE_DEVICES"
NETWORK = re.compile(r"(HTTPS?|ALL|NO)_PROXY|SSL_CERT_(FILE|DIR)|AWS_.*", re.IGNORECASE)
"""Variables by which model servers and an object store are reached."""


@dataclass
class Processes:
    """A crew of processes, one for each device where there are devices.

    Each is in a session of its own, so that Ctrl-C reaches the run alone, which then ends them. Its
    standard input is a pipe that the run holds: when the run dies, however, the pipe is closed, and
    the worker ends.
    """

    command: Sequence[str]
    number: int
    settings: Mapping[str, str]
    """The variables `RDPT_*` of the run."""
    logs: Path
    """Folder of the workers' output."""
    name: str
    """What their logs are called."""
    devices: Sequence[str] = ()
    workers: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    """Those that were not seen to have ended, by their number."""
    num_starts: int = 0
    was_killed: bool = False
    fault: Exception | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)
    """The tasks of all tables ask."""

    def start(self) -> None:
        with self.lock:
            if self.num_starts == 0:
                self._fill()

    def check(self) -> None:
        """Replaces workers that were killed, by half as many. Raises OutOfMemory where another one
        is killed then, and RuntimeError where workers end again and again."""
        with self.lock:
            if self.fault is None:
                self._look()
            if self.fault is not None:
                raise self.fault

    def end(self) -> None:
        with self.lock:
            ending, self.workers = self.workers, {}
            end(list(ending.values()))

    def log(self, number: int) -> Path:
        return self.logs / f"{self.name}-worker-{number}.log"

    def _look(self) -> None:
        ended = {n: worker for n, worker in self.workers.items() if worker.poll() is not None}
        for number, worker in ended.items():
            del self.workers[number]
            if worker.returncode == -signal.SIGKILL:
                self._take_killed(number, worker.pid)
        if not self.workers and self.fault is None:
            self._fill()

    def _take_killed(self, number: int, pid: int) -> None:
        """The kernel kills so where memory runs out, so fewer go on."""
        said = f"worker {number} (process {pid}) was killed, probably for lack of memory"
        if self.was_killed:
            fewer = "set RDPT_WORKERS to fewer, or give them more memory"
            self.fault = OutOfMemory(f"{said}, as one before it: {fewer}; log: {self.log(number)}")
            return
        self.was_killed, self.number = True, max(1, self.number // 2)
        say(f"warning: {said}; going on with {self.number}")
        surplus = list(self.workers)[self.number :]
        end([self.workers.pop(each) for each in surplus])

    def _fill(self) -> None:
        """Starts all workers, none of whom is there."""
        if self.num_starts == MOST_STARTS:
            self.fault = RuntimeError(
                f"workers end although parts are missing; their logs: {self.log(0)} and beside it"
            )
            return
        self.num_starts += 1
        self.workers = {n: self._started(n) for n in range(self.number)}

    def _started(self, number: int) -> subprocess.Popen[bytes]:
        settings = dict(self.settings)
        if self.devices:
            settings[DEVICES] = self.devices[number % len(self.devices)]
        return start_worker(self.command, settings, self.log(number))


def start_worker(
    command: Sequence[str], settings: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """A worker that ends when the standard input that is given to it does."""
    network = {name: os.environ[name] for name in os.environ if NETWORK.fullmatch(name)}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env={**worker_environment(), **network, **settings},
            start_new_session=True,
        )


def end(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    """Asks them to end, and kills those that do not, with their children."""
    for worker in workers:
        worker.terminate()
        with suppress(OSError):
            if worker.stdin is not None:
                worker.stdin.close()
    over = time.monotonic() + PATIENCE_SECONDS
    for worker in workers:
        try:
            worker.wait(max(over - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


def end_with_standard_input() -> None:
    """Ends this process once who started it has gone, however it went: the kernel closes the pipe
    that the other end of standard input is."""
    threading.Thread(target=_listen, name="hears the run", daemon=True).start()


def _listen() -> None:
    while sys.stdin.buffer.read(1):
        pass
    stopping.ask()
    threading.Event().wait(PATIENCE_SECONDS)
    stopping.end_children()
    os._exit(stopping.EXIT[signal.SIGTERM])
