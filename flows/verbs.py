"""What each verb of the command line does. Results go to stdout, the rest to stderr."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import SettingsError

from flows import accounts, faults, report
from flows.catalogue import is_published, publish_catalogue
from flows.checks import check_inputs, check_prefect, check_room, check_workspace
from flows.configurations import Configuration
from flows.room import estimated_room
from flows.workspace import (
    Opened,
    brief,
    each_frozen,
    freeze,
    frozen_names,
    is_frozen,
    notes_of,
    open_file,
    open_frozen,
)
from rdpt_core.machine.environment import unremovable
from rdpt_core.report.terminal import printable
from rdpt_core.store.notes import Notes
from settings.loading import BadSettings, find_experiment
from settings.loading import faults as faults_of
from settings.runtime import PREFIX, Runtime, unknown_variables
from tasks.artifacts import rehome
from tasks.progress import say
from tasks.stage import Plan
from tasks.stopping import Stopped


def runtime_of(**changes: object) -> Runtime:
    """The machine's settings. Raises BadSettings with all their faults."""
    lines = []
    try:
        lines += [*unremovable(os.environ), *unknown_variables()]
        runtime = Runtime()
    except ValidationError as error:
        keys = [line.partition(":") for line in faults_of(error, Runtime)]
        lines += [f"{PREFIX}{key.upper()}:{rest}" for key, _, rest in keys]
    except SettingsError as error:  # what was found is left out: it may hold a key
        lines.append(f"{error}: is no JSON")
    except (OSError, UnicodeDecodeError) as error:
        lines.append(f".env cannot be read: {error}")
    if lines:
        raise BadSettings("environment or .env", lines)
    check_workspace(runtime.workspace, writes=False)
    return runtime.model_copy(update=changes)


def run(file: str, wait: bool) -> int:
    opened = open_file(find_experiment(file), runtime_of(wait=wait))
    return _run(opened)


def resume(name: str | None, wait: bool) -> int:
    return _run(open_frozen(name, runtime_of(wait=wait)))


def _run(opened: Opened) -> int:
    check_workspace(opened.runtime.workspace, writes=True)
    check_prefect()
    check_inputs(opened)
    if not report.is_complete(opened):
        failed = _build(opened)
        if failed:
            return failed
    else:
        say("nothing to be done: every part exists")
        if not is_frozen(opened):
            freeze(opened)
        rehome(opened.runtime)
        if not is_published(opened):
            publish_catalogue(opened)
    for line in accounts.account_lines(opened):
        say(line)
    report.print_results(opened)
    sys.stdout.flush()  # before MLflow is imported, which takes seconds
    report.say_address(opened)
    return 0


def _build(opened: Opened) -> int:
    """The exit code of what stopped the run; 0 where nothing did."""
    check_room(opened.runtime.workspace, estimated_room(opened))
    prepare_prefect(opened.runtime)
    from flows.experiment import prefect_flow

    outcome = prefect_flow(opened)
    if not outcome.failures:
        return 0
    for table, error in outcome.failures.items():
        if not isinstance(error, Stopped):
            say(f"failed: {table}: {error}")
    say(f"go on with: rdpt resume {opened.experiment.name}")
    return max(faults.code_of(error) for error in outcome.failures.values())


def prepare_prefect(runtime: Runtime) -> None:
    """Prefect without a server of its own to look after: a home in the workspace, no telemetry.

    A PREFECT_API_URL of the user's stands: then the run is seen in that server's UI.
    """
    home = (runtime.workspace / "prefect").resolve()
    home.mkdir(parents=True, exist_ok=True)
    set_aside_if_damaged(home / "prefect.db", notes_of(runtime))
    logs = (runtime.workspace / "logs").resolve()
    logs.mkdir(parents=True, exist_ok=True)
    defaults = {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",  # failures are said once, by us; see logs/
        "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
        "PREFECT_CLI_PROMPT": "false",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def set_aside_if_damaged(database: Path, notes: Notes) -> None:
    """For Prefect's own record of runs, which nothing else needs: over a damaged one its server
    does not start, and says nothing for five minutes (measured)."""
    if not database.is_file():
        return
    try:
        with closing(sqlite3.connect(database, timeout=1.0, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError:  # a run that goes on writes to it
        return
    except sqlite3.DatabaseError as error:
        notes.refuse(database, f"is damaged ({error})")
        for beside in ("-wal", "-shm"):
            notes.set_aside(database.with_name(database.name + beside))


def plan(file: str) -> int:
    opened = open_file(find_experiment(file), runtime_of(), read_only=True)
    check_inputs(opened)
    report.print_plan(opened)
    return 0


def runs() -> int:
    runtime = runtime_of()
    if not frozen_names(runtime):
        say(f"no experiment was run in {runtime.workspace} yet: rdpt run smoke, or your own file")
    failed = each_frozen(runtime, _list_run, read_only=True)
    for name, error in failed.items():
        sys.stdout.write(f"{name}\tcannot be opened\t{printable(brief(error))}\n")
    return 0


def _list_run(opened: Opened) -> None:
    plan_ = Plan(opened.store)
    tables = [plan_.table(call) for call in opened.study.calls()]
    done = sum(table.complete for table in tables)
    name = opened.experiment.name
    sys.stdout.write(f"{name}\t{done} of {len(tables)} tables\t{opened.base}\n")


def sync(name: str | None) -> int:
    """2 or 5 where an experiment could not be told; the others are."""
    runtime = runtime_of(tracking_required=True)  # to be told is all that is asked here
    if name:
        opened = open_frozen(name, runtime)
        _tell(opened, _complete(opened))
        return 0
    # Before MLflow is asked for anything: its own faults end the command.
    found: list[tuple[Opened, list[Configuration]]] = []
    failed = each_frozen(runtime, lambda opened: found.append((opened, _complete(opened))))
    for opened, whole in found:
        _tell(opened, whole)
    for each, error in failed.items():
        say(f"{each} is not up to date in MLflow: {brief(error)}")
    away = any(isinstance(error, ConnectionError) for error in failed.values())
    return 0 if not failed else faults.SERVICE if away else faults.USAGE


def _complete(opened: Opened) -> list[Configuration]:
    table_of = Plan(opened.store).table
    return [
        c
        for c in opened.study.configurations()
        if all(table_of(use.call).complete for use in c.uses)
    ]


def _tell(opened: Opened, whole: list[Configuration]) -> None:
    from flows.projection import project
    from tasks.tracking import Tracker

    tracker = Tracker(opened.runtime, opened.experiment.name)
    for configuration in whole:
        tracker.configuration(configuration.name, partial(project, opened, configuration))
    tracker.close()
    say(f"{opened.experiment.name}: {len(whole)} complete configurations are up to date in MLflow")
