"""A table as a Prefect task: a worker claims its parts until none is left.

Prefect orders, retries and shows; whether anything is to be done is asked of the store alone.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from prefect import Task, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture
from prefect.states import Cancelled, Completed, Failed
from prefect.task_runners import TaskRunner
from prefect.utilities.annotations import allow_failure, quote

from rdpt_core.models.serving.http import Unreachable
from rdpt_core.store.parts import Damaged
from tasks.assets import name_asset
from tasks.plan import Plan
from tasks.progress import TableProgress, brief
from tasks.stage import StageTable, Table
from tasks.stopping import Stopped
from tasks.workers.loop import Job
from tasks.workers.runner import Runner

RETRY_SECONDS = [20.0, 40.0]
"""Before a table is tried again whose server failed. Requests have their own retries, for as long
as the server's `patience`. A pause of less than FORGOTTEN_SECONDS leaves that time spent: of a
server that is still away one request is made, so these retries add a minute to its patience and
do not multiply it."""
SKIPPED = "Skipped"
"""State of a table that was not built since another failed."""
HOLDS_MODEL, ASKS_SERVER = "model", "server"
"""Tags of tables whose model is loaded here, or is behind a server. In one process, `Turns` lets
one table at a time hold a model; a concurrency limit of a Prefect server on such a tag holds for
all runs that it knows."""


@dataclass(frozen=True)
class TableTask:
    """One table of a run: what its task builds, where, and how Prefect shows it."""

    job: Job
    plan: Plan
    """The plan of the whole run."""
    runner: Runner
    progress: TableProgress
    experiment: str
    tags: frozenset[str]
    building: threading.Event = field(default_factory=threading.Event)
    """Set while parts are built: not while the task waits for other tables or for a retry."""

    @property
    def table(self) -> Table:
        return self.job.table

    def submit(
        self, runner: TaskRunner[Any], needs: Sequence[PrefectFuture[Any]]
    ) -> PrefectFuture[Any]:
        """Starts the task once those of the tables that it needs have ended."""
        asks = has_model(self.table, "is_remote")
        holds = has_model(self.table, "has_weights")
        own: Task[Any, Any] = build_table.with_options(
            name=self.table.name,
            task_run_name=self.job.title,
            tags={*self.tags, *([HOLDS_MODEL] * holds), *([ASKS_SERVER] * asks)},
            retries=len(RETRY_SECONDS) if asks else 0,
            retry_delay_seconds=RETRY_SECONDS,
        )
        # Without allow_failure, a task that lacks another stays pending for ever.
        waits_for: list[Any] = [allow_failure(future) for future in needs]
        future: PrefectFuture[Any] = runner.submit(own, {"job": quote(self)}, wait_for=waits_for)
        return future

    def build(self) -> State[Any]:
        """Builds the parts that are missing. Raises what a stage raises."""
        log, found = get_run_logger(), self.plan.state(self.table)
        num_found = self.runner.found(found.parts)
        if found.complete and num_found == len(found.parts):
            log.info("all parts are in the store (%d)", num_found)
            return self._completed("Cached", num_found)
        if lacks := self._lacks():
            return Completed(
                name=SKIPPED, message=f"needs {', '.join(lacks)}, which could not be built"
            )
        self.progress.log = log.info
        if isinstance(self.table, StageTable):
            log.info("%d of %d parts are in the store", num_found, len(found.places))
        else:
            log.info("reading the source")
        self.building.set()
        try:
            self.runner.build(self.job, self.progress)
        finally:
            self.progress.abandoned()  # nothing where it is finished
            self.building.clear()
        return self._completed(None, num_found)

    def _lacks(self) -> list[str]:
        """Names of the tables that this one needs and that could not be built."""
        needs = needs_of(self.table)
        return sorted({need.name for need in needs if not self.plan.state(need).complete})

    def _completed(self, name: str | None, num_found: int) -> State[Any]:
        """The final state, which holds the keys of the parts and never rows."""
        state = self.plan.state(self.table)
        if not state.complete:
            raise Damaged(f"{self.table.name}: a part that it needs does not hold")
        name_asset(self.experiment, self.table.name, self.job.title, state.parts)
        message = f"parts: {num_found} found, {len(state.parts) - num_found} made"
        keys = {"table": self.table.name, "parts": [part.key for part in state.parts]}
        return Completed(name=name or "Completed", message=message, data=keys)


def needs_of(table: Table) -> Sequence[Table]:
    """The tables that must be complete before this one is built."""
    return table.needs() if isinstance(table, StageTable) else ()


def has_model(table: Table, claim: str) -> bool:
    """True if a model among the table's parameters says so of itself."""
    values = table.parameters.values() if isinstance(table, StageTable) else ()
    return any(getattr(value, claim, False) for value in values)


def is_servers_fault(task: object, run: TaskRun, state: State[Any]) -> bool:
    """True if a table may be tried again: its server was away or overloaded. A server that refuses
    (a wrong key, another model) refuses again."""
    return isinstance(state.data, Unreachable)


@task(
    cache_policy=NO_CACHE,  # Prefect's cache cannot see what a stage depends on: the store decides
    persist_result=False,
    log_prints=False,
    retry_condition_fn=is_servers_fault,
)
def build_table(job: TableTask) -> State[Any]:
    """Builds a table, or ends in state `Cached` where it is complete.

    An error becomes the state's data and a message without secrets: an exception that is raised
    would be stored by Prefect as it is. Submit it, so that a flow always holds a future.
    """
    try:
        return job.build()
    except Stopped as error:
        return Cancelled(message="the run was stopped", data=error)
    except Exception as error:
        return Failed(message=brief(error), data=error)
