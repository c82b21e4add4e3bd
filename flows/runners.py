"""The runner that a machine's settings ask for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from flows.workspace import Opened
from rdpt_core.machine.processor import gpus
from settings.loading import BadSettings
from settings.runtime import variables
from tasks.turns import Turns
from tasks.workers.failures import Failures
from tasks.workers.processes import Processes
from tasks.workers.ray_crew import RayCrew
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
    settings, logs = variables(runtime), runtime.workspace.resolve() / "logs"
    if runtime.runner == "ray":
        if find_spec("ray") is None:
            raise BadSettings("RDPT_RUNNER", ["ray is not installed: pip install 'rdpt[ray]'"])
        return RayCrew(command, runtime.workers, settings, logs, name, runtime.ray)
    devices = gpus() if runtime.device != "cpu" else []
    return Processes(command, runtime.workers, settings, logs, name, devices)
