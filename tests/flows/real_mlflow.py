"""A real MLflow server on loopback, for tests: it can be stopped, paused, and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from flows.commands.ui.servers import answers, mlflow_server
from settings.runtime import Runtime

START_SECONDS = 120.0


@dataclass
class RealMlflow:
    """`mlflow server` as `rdpt ui` starts it, with its database and artifacts in a folder."""

    folder: Path
    port: int = field(default_factory=lambda: free_port())
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        server = mlflow_server(Runtime(workspace=self.folder), self.port)
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                server.command,
                env={**os.environ, **server.environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        end = time.monotonic() + START_SECONDS
        while not answers(server):
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            assert time.monotonic() < end, "MLflow's server does not answer"
            time.sleep(0.1)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the server and all of its workers."""
        assert self.process is not None
        top = psutil.Process(self.process.pid)
        for process in [*top.children(recursive=True), top]:
            process.send_signal(number)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.send(signal.SIGKILL)
            self.process.wait()

    @contextmanager
    def running(self) -> Iterator[RealMlflow]:
        self.start()
        try:
            yield self
        finally:
            self.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
