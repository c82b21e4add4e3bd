"""The experiment as one Prefect flow: every table a task, ordered by what it needs.

`rdpt run`, `rdpt resume` and deployments call the same flow. They differ in one thing: the command
line has checked the experiment before it starts Prefect, so that a mistake costs no server.
"""

from __future__ import annotations

import concurrent.futures
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import httpx
from prefect import flow, get_client
from prefect.client.schemas.objects import State
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.states import Cancelled, Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows import errors, leftovers
from flows.catalogue import publish_catalogue
from flows.checks import check_before_work, is_complete
from flows.configurations import Configuration
from flows.journal import Journal
from flows.projection.telling import tell_begun, tell_complete, tell_ended
from flows.results.artifact import show_results
from flows.runners import runner_of
from flows.runtime import read_runtime
from flows.titles import jobs_of, tags_of, users_of
from flows.workspace import Opened, freeze, open_file, open_frozen
from rdpt_core.store.parts import Damaged
from settings.loading import find_experiment
from tasks import stopping
from tasks.bars import BARS
from tasks.overview import RunOverview
from tasks.progress import TableProgress, brief, say
from tasks.run_logs import keep_run_logs_off_the_terminal, protect_run_logs
from tasks.running import announced
from tasks.stage import Table
from tasks.table import TableTask, needs_of
from tasks.tracking.tracker import Tracker
from tasks.workers.loop import Job
from tasks.workers.runner import Runner

MAX_ATTEMPTS = 3
"""A part that is found damaged while it is read sends the walk back to rebuild it."""
LISTEN_SECONDS = 0.5
GOODBYE_SECONDS = 3.0
"""For telling Prefect that a run was stopped."""

_checked: ContextVar[Opened | None] = ContextVar("checked", default=None)
"""The experiment that the command line has opened and checked."""


class TablesFailed(Exception):
    """Tables that could not be built. One failing configuration stops no other."""

    def __init__(self, failures: dict[str, BaseException]) -> None:
        lines = [f"{table}: {brief(error)}" for table, error in failures.items()]
        super().__init__("\n".join(lines))
        self.failures = failures


class PrefectGone(ConnectionError):
    """Prefect's server went away during a run."""


# ---------------------------------------------------------------------------- the flow


def _run_name() -> str:
    """The flow run's name until its experiment is read: the file's, in a deployment."""
    opened, context = _checked.get(), FlowRunContext.get()
    if opened is not None or context is None:
        return opened.experiment.name if opened else "experiment"
    return Path(str((context.parameters or {}).get("file"))).stem


@flow(name="experiment", flow_run_name=_run_name, persist_result=False)
def experiment(file: str, resume: bool = False, wait: bool = True) -> State[Any]:
    """Builds whatever an experiment lacks: of an experiment file or a shipped experiment, or with
    `resume` of an experiment of the workspace, by its name.

    Without `wait` the run fails where another run is building a part that it needs.
    """
    protect_run_logs()
    try:
        opened = _checked.get() or _open_checked(file, resume, wait)
        _label(opened)
        failures = build(opened)
    except Exception as error:
        # Returned, since Prefect stores an error that is raised as it is, with what it quotes.
        return Failed(message=brief(error), data=error)
    _leave_if_stopped(failures, opened)
    if failures:
        failed = TablesFailed(failures)
        return Failed(message=brief(failed), data=failed)
    return Completed(message="every part exists")


def run_flow(opened: Opened) -> dict[str, BaseException]:
    """Runs the flow for the command line; the tables that failed, by their title, with the error.

    Raises what stopped the run as a whole. Ends the process where Prefect's server went away with
    work left to do.
    """
    keep_run_logs_off_the_terminal()
    token = _checked.set(opened)
    resume = opened.file.parent.resolve() == opened.folder.resolve()
    file = opened.experiment.name if resume else str(opened.file)
    try:
        with stopping.sparing_children():
            state = experiment(file, resume, opened.runtime.wait, return_state=True)
    except httpx.HTTPError as error:
        if not is_complete(opened):
            hint = f"start it again, then resume with: rdpt resume {opened.experiment.name}"
            _leave(errors.SERVICE, f"rdpt: {_server_gone(error)}: {hint}")
        say("warning: Prefect's server went away: its pages do not show how this run ended")
        return {}
    finally:
        _checked.reset(token)
    found = state.result(raise_on_failure=False)
    if isinstance(found, TablesFailed):
        return found.failures
    if isinstance(found, BaseException):
        raise found
    return {}


def _open_checked(file: str, resume: bool, wait: bool) -> Opened:
    """What a deployment's run names. The machine is that of its worker: settings are read from the
    worker's environment, never from parameters, which Prefect stores."""
    runtime = read_runtime(wait=wait)
    opened = open_frozen(file, runtime) if resume else open_file(find_experiment(file), runtime)
    check_before_work(opened)
    return opened


def _label(opened: Opened) -> None:
    """Gives the flow run the experiment's name and tag, if Prefect answers, and ends those that
    killed runs have left."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    run, name = context.flow_run, opened.experiment.name
    with suppress(httpx.HTTPError), get_client(sync_client=True) as client:
        client.update_flow_run(run.id, name=name, tags=[*run.tags, f"experiment:{name}"])
        leftovers.end_flow_runs(client, run.id)


def _leave_if_stopped(failures: dict[str, BaseException], opened: Opened) -> None:
    """Ends the process where it was asked to stop: the store is whole."""
    stops = [error for error in failures.values() if isinstance(error, stopping.Stopped)]
    if not stops:
        return
    line = f"stopped; resume with: rdpt resume {opened.experiment.name}"
    _within(GOODBYE_SECONDS, lambda: _cancel(line))
    _leave(stops[0].code, line)


def _leave(code: int, line: str) -> NoReturn:
    """Ends the process at once: Prefect would first tell its server, for minutes if it is gone."""
    BARS.clear()
    say(line, urgent=True)
    stopping.end_children()
    os._exit(code)


def _cancel(message: str) -> None:
    """Ends the flow run in Prefect, if its server answers: else its pages show it as running."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    with suppress(Exception), get_client(sync_client=True) as client:
        state: State[Any] = Cancelled(message=message)
        client.set_flow_run_state(context.flow_run.id, state, force=True)


def _within(seconds: float, act: Callable[[], None]) -> None:
    """Waits for `act` no longer than that."""
    acting = threading.Thread(target=copy_context().run, args=(act,), daemon=True)
    acting.start()
    acting.join(seconds)


# ---------------------------------------------------------------------------- building


def build(opened: Opened) -> dict[str, BaseException]:
    """Makes every table that the store lacks; the tables that failed, with their errors. Tables
    that only lacked one of these are left out."""
    with announced(opened.runtime.workspace, opened.experiment.name):
        freeze(opened)
        stopping.listen()  # after Prefect took the signals for itself
        journal = Journal(opened.runtime.workspace / "logs" / f"{opened.experiment.name}.jsonl")
        journal.note("started", file=opened.file)
        tracker = Tracker(opened.runtime, opened.experiment.name)
        tell_begun(opened, tracker)
        try:
            with runner_of(opened) as runner:
                failures = _until_sound(opened, tracker, runner)
            tell_ended(opened, tracker, failures)
        finally:
            tracker.close()
        for table, error in failures.items():
            if not isinstance(error, stopping.Stopped):
                journal.failed(table, error)
        journal.note("ended", failures=list(failures))
        gone = any(isinstance(error, PrefectGone) for error in failures.values())
        if stopping.asked() is None and not gone:
            show_results(opened, tracker, failures)
        return failures


def _until_sound(opened: Opened, tracker: Tracker, runner: Runner) -> dict[str, BaseException]:
    """Walks again where a part was found damaged while it was read: it is set aside by then."""
    for _ in range(MAX_ATTEMPTS):
        failures = Walk(opened, tracker, runner).failures()
        damaged = [error for error in failures.values() if isinstance(error, Damaged)]
        for error in damaged:
            say(f"warning: {error}; it is built again")
        if not damaged:
            break
        opened.plan.forget()
    return failures


@dataclass
class Walk:
    """One walk over all tables of an experiment."""

    opened: Opened
    tracker: Tracker
    runner: Runner
    tasks: dict[str, TableTask] = field(default_factory=dict)
    """By the digest of the table, as `futures` are."""
    futures: dict[str, PrefectFuture[Any]] = field(default_factory=dict)

    def failures(self) -> dict[str, BaseException]:
        """Walks; the errors of the tables that failed, by the table's title."""
        # A table that waits for others, or for its turn, takes a thread and no worker. With one
        # worker they follow each other in the order in which they were asked for.
        several = self.opened.runtime.workers > 1
        pool: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=None if several else 1)
        overview = RunOverview(
            self.opened.plan, self.opened.study.tables(), self.opened.runtime.workers
        )
        with ExitStack() as stack:
            stack.enter_context(overview)
            self._submit_all(stack.enter_context(pool), overview)
            for configuration in self.opened.study.configurations():
                if not all(self._ended(use.table) for use in configuration.uses):
                    break
                self._show(configuration)
            if stopping.asked():
                stack.pop_all()  # to close the pool is to wait for a task that sleeps
            return self._errors()

    def _submit_all(self, runner: TaskRunner[Any], overview: RunOverview) -> None:
        users = users_of(self.opened.study.configurations())
        for job in jobs_of(self.opened.study):
            table = job.table
            task = self._task(job, users.get(table.digest, []), overview)
            needs = [self.futures[needed.digest] for needed in needs_of(table)]
            self.tasks[table.digest] = task
            self.futures[table.digest] = task.submit(runner, needs)

    def _task(self, job: Job, users: list[Configuration], overview: RunOverview) -> TableTask:
        name = self.opened.experiment.name
        progress = TableProgress(job.title, job.unit, overview=overview)
        progress.on_row = lambda row: self.tracker.step(users, row)
        tags = tags_of(job.table, users, name)
        return TableTask(job, self.opened.plan, self.runner, progress, name, tags)

    def _ended(self, table: Table) -> bool:
        """Waits for the table's task; false where the run was stopped and nothing is being built.
        Then no task is waited for: one that is to be tried again sleeps, and hears no signal."""
        future: Any = self.futures[table.digest]
        while not future.wrapped_future.done():
            # The future's own wait raises its error.
            concurrent.futures.wait([future.wrapped_future], LISTEN_SECONDS)
            if stopping.asked() and not any(t.building.is_set() for t in self.tasks.values()):
                return False
        return True

    def _show(self, configuration: Configuration) -> None:
        """The catalogue and MLflow, as soon as a configuration is whole; neither can stop the
        run."""
        plan = self.opened.plan
        if all(plan.state(use.table).complete for use in configuration.uses):
            publish_catalogue(self.opened)
            tell_complete(self.opened, self.tracker, configuration)

    def _errors(self) -> dict[str, BaseException]:
        found = {self.tasks[d].job.title: _error(future) for d, future in self.futures.items()}
        return {title: error for title, error in found.items() if error is not None}


def _error(future: Any) -> BaseException | None:
    """What stopped a task; None for one that did its work, or only lacked another. Of a task that
    Prefect could not even begin there is no state, only an error."""
    if not future.wrapped_future.done():  # the run was stopped
        return stopping.asked()
    error = future.wrapped_future.exception()
    if error is None:
        future.wait()  # or its state is asked of the server, which may be gone
        state = future.state
        if not (state.is_failed() or state.is_crashed() or state.is_cancelled()):
            return None
        error = state.result(raise_on_failure=False)
    assert isinstance(error, BaseException)
    gone = isinstance(error, httpx.HTTPError | ConcurrencySlotAcquisitionError)
    return _server_gone(error) if gone else error


def _server_gone(error: BaseException) -> PrefectGone:
    cause = error.__cause__ or error
    return PrefectGone(f"Prefect's server stopped answering ({brief(cause)})")
