"""The experiment as one Prefect flow: every table a task, ordered by what it needs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from prefect import flow
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from prefect.utilities.annotations import quote

from flows.catalogue import publish_catalogue
from flows.configurations import Configuration
from flows.journal import Journal
from flows.projection import project
from flows.runtime import read_runtime
from flows.titles import title, users_of
from flows.workspace import Opened, freeze, open_file, open_frozen
from rdpt_core.store.parts import Damaged
from tasks import stopping
from tasks.progress import TableProgress, say
from tasks.running import announced
from tasks.stage import StageTable, Table
from tasks.table import Order, make_table
from tasks.tracking import Tracker
from tasks.turns import Turns

UNITS = {"traces": "tokens", "scores": "tokens", "grades": "answers", "students": "steps"}
MAX_ATTEMPTS = 3
"""A part that is found damaged while it is read sends the walk back to rebuild it."""


@dataclass
class Outcome:
    """What became of a run."""

    failures: dict[str, BaseException] = field(default_factory=dict)
    """Table (as people read it) to what stopped it; tables that only lacked it are left out."""


@flow(name="experiment", persist_result=False, validate_parameters=False)
def experiment(file: str, resume: bool = False) -> None:
    """Runs, or resumes, an experiment file. This is what a deployment calls; `rdpt run` calls
    `execute` under the same flow. Raises RuntimeError naming the tables that failed."""
    runtime = read_runtime()
    opened = open_frozen(file, runtime) if resume else open_file(Path(file), runtime)
    outcome = execute(opened)
    if outcome.failures:
        lines = [f"{name}: {error}" for name, error in outcome.failures.items()]
        raise RuntimeError("; ".join(lines))


def execute(opened: Opened) -> Outcome:
    """Makes every table that the store lacks. One failing configuration stops no other."""
    with announced(opened.runtime.workspace, opened.experiment.name):
        return _execute(opened)


def _execute(opened: Opened) -> Outcome:
    freeze(opened)
    stopping.listen()  # after Prefect took the signals for itself
    journal = Journal(opened.runtime.workspace / "logs" / f"{opened.experiment.name}.jsonl")
    journal.note("started", file=opened.file)
    tracker = Tracker(opened.runtime, opened.experiment.name)
    try:
        outcome = _until_sound(opened, tracker)
    finally:
        tracker.close()
    for table, error in outcome.failures.items():
        journal.failed(table, error)
    journal.note("ended", failures=list(outcome.failures))
    return outcome


def _until_sound(opened: Opened, tracker: Tracker) -> Outcome:
    """Walks again where a part was found damaged while it was read: it is set aside by then."""
    for _ in range(MAX_ATTEMPTS):
        outcome = _walk(opened, tracker)
        damaged = [e for e in outcome.failures.values() if isinstance(e, Damaged)]
        for error in damaged:
            say(f"warning: {error}; it is built again")
        if not damaged:
            break
        opened.plan.forget()
    return outcome


def _walk(opened: Opened, tracker: Tracker) -> Outcome:
    study = opened.study
    configurations = study.configurations()
    users = users_of(configurations)
    futures: dict[str, PrefectFuture[Any]] = {}
    names: dict[str, str] = {}
    turns = Turns(opened.runtime.workers)
    for table in study.tables():
        name = title(table, users.get(table.digest, []))
        needs = table.needs() if isinstance(table, StageTable) else []
        names[table.digest] = name
        futures[table.digest] = _submit(
            opened, table, name, [futures[n.digest] for n in needs], tracker, users, turns
        )
    for configuration in configurations:
        for use in configuration.uses:
            futures[use.table.digest].wait()
        _show(opened, configuration, tracker)
    return _outcome(futures, names)


def _submit(
    opened: Opened,
    table: Table,
    name: str,
    needs: Iterable[PrefectFuture[Any]],
    tracker: Tracker,
    users: dict[str, list[Configuration]],
    turns: Turns,
) -> PrefectFuture[Any]:
    unit = UNITS.get(table.name, "rows")
    watcher = TableProgress(name, unit)
    watcher.on_row = lambda row: tracker.step(users.get(table.digest, []), row)
    order = Order(
        table, opened.plan, opened.runtime, watcher, opened.experiment.name, name, unit, turns
    )
    task: Any = make_table.with_options(task_run_name=name)
    future: PrefectFuture[Any] = task.submit(quote(order), wait_for=list(needs))
    return future


def _show(opened: Opened, configuration: Configuration, tracker: Tracker) -> None:
    """The catalogue and MLflow, as soon as a configuration is whole; neither can stop the run."""
    if all(opened.plan.state(use.table).complete for use in configuration.uses):
        publish_catalogue(opened)
        tracker.configuration(configuration.name, lambda: project(opened, configuration))


def _outcome(futures: dict[str, PrefectFuture[Any]], names: dict[str, str]) -> Outcome:
    outcome = Outcome()
    for digest, future in futures.items():
        if future.state.is_failed() or future.state.is_crashed():
            error = future.state.result(raise_on_failure=False)
            assert isinstance(error, BaseException)
            outcome.failures[names[digest]] = error
    return outcome


def _leave_if_stopped(outcome: Outcome, opened: Opened) -> None:
    """Ends the process at once where it was asked to stop: the store is whole, and Prefect would
    tell a server that may be stopped already, some minutes long."""
    for error in outcome.failures.values():
        if isinstance(error, stopping.Stopped):
            say(f"stopped; resume with: rdpt resume {opened.experiment.name}")
            for child in psutil.Process().children(recursive=True):
                child.terminate()
            os._exit(error.code)


def prefect_flow(opened: Opened) -> Outcome:
    """`execute` under a Prefect flow run of its own, with the experiment's name."""
    outcome = Outcome()
    # A table that waits for others, or for its turn, takes a thread and no worker. With one worker
    # they follow each other in the order in which they were asked for.
    several = opened.runtime.workers > 1
    runner: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=None if several else 1)

    @flow(
        name="experiment",
        flow_run_name=opened.experiment.name,
        task_runner=runner,
        persist_result=False,
    )
    def experiment_run(file: str) -> None:
        outcome.failures.update(execute(opened).failures)
        _leave_if_stopped(outcome, opened)

    experiment_run(str(opened.file))
    return outcome
