"""`rdpt work`: a worker without a flow, which claims parts beside others until none is left."""

from __future__ import annotations

from flows import errors
from flows.checks import check_inputs, check_room, check_workspace, is_complete
from flows.disk import estimated_room
from flows.runtime import read_runtime
from flows.titles import jobs_of
from flows.workspace import Opened, freeze, frozen_names, is_frozen, open_file, open_frozen
from settings.loading import find_experiment
from settings.runtime import Runtime
from tasks import stopping
from tasks.progress import brief, say
from tasks.running import announced
from tasks.workers.failures import Failures
from tasks.workers.loop import Loop
from tasks.workers.processes import end_with_standard_input


def work(file: str, attached: bool) -> int:
    """The exit code: that of the worst failure, 0 where nothing is left to build."""
    stopping.listen()
    if attached:
        end_with_standard_input()
    opened = _open(file, read_runtime(workers=1))
    if not attached:  # else the run has
        _check(opened)
    failures = Failures(opened.runtime.workspace, opened.experiment.name)
    with announced(opened.runtime.workspace, opened.experiment.name), failures.joined():
        if not is_frozen(opened):
            freeze(opened)
        loop = Loop(
            opened.experiment.name,
            jobs_of(opened.study),
            opened.plan,
            opened.runtime,
            failures,
            reads_sources=not attached,
        )
        failed = loop.run()
    for failure in failed:
        say(f"failed: {failure.title}: {brief(failure.error)}", urgent=True)
    if not failed:
        say(f"{opened.experiment.name}: nothing is left to build")
    return max((errors.code_of(failure.error) for failure in failed), default=0)


def _open(name: str, runtime: Runtime) -> Opened:
    """An experiment of the workspace by its name, else a file or a shipped experiment."""
    if name in frozen_names(runtime):
        return open_frozen(name, runtime)
    return open_file(find_experiment(name), runtime)


def _check(opened: Opened) -> None:
    check_workspace(opened.runtime.workspace, writes=True)
    check_inputs(opened)
    if not is_complete(opened):
        check_room(opened.runtime.workspace, estimated_room(opened))
