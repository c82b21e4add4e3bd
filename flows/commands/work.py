"""`rdpt work`: a worker without a flow, which claims parts beside others until none is left."""

from __future__ import annotations

from flows import errors
from flows.checks import check_before_work
from flows.runtime import read_runtime
from flows.titles import jobs_of
from flows.workspace import freeze, is_frozen, open_asked
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
    opened = open_asked(file, read_runtime(workers=1), read_only=False)
    if not attached:  # else the run has
        check_before_work(opened, with_prefect=False)
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
