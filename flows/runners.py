"""The runner that a machine's settings ask for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flows.workspace import Opened
from rdpt_core.machine.processor import gpus
from settings.runtime import variables
from tasks.turns import Turns
from tasks.workers.failures import Failures
from tasks.workers.processes import Processes
from tasks.workers.runner import Crew, Hired, Runner, Threads


@contextmanager
def runner_of(opened: Opened) -> Iterator[Runner]:
    """Builds tables while the block runs."""
    runtime, name = opened.runtime, opened.experiment.name
    if runtime.runner == "local":
        yield Threads(name, opened.plan, runtime, Turns(runtime.workers))
        return
    failures = Failures(runtime.workspace, name)
    with failures.joined(), Hired(name, opened.plan, runtime, _crew(opened), failures) as hired:
        yield hired


def _crew(opened: Opened) -> Crew:
    runtime, name = opened.runtime, opened.experiment.name
    command = ["flows.cli", "work", name, "--attached"]
    logs = runtime.workspace / "logs"
    devices = gpus() if runtime.device != "cpu" else []
    return Processes(command, runtime.workers, variables(runtime), logs, name, devices)
