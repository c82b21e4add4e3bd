"""A worker outside the flow: a process that claims parts of any table until none is left.

It holds one model at most. Tables of the model that it holds come first, so a model is loaded again
only where there is nothing to do for the one in memory. Which parts exist is asked of the store,
and who builds a part of the part's lock: workers know nothing of each other.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rdpt_core.models.serving.http import Unreachable
from rdpt_core.store.parts import Damaged
from tasks import stopping
from tasks.plan import MissingPart, Plan
from tasks.progress import TableProgress, brief, say
from tasks.running import Activity, beating
from tasks.stage import SourceTable, StageTable, Table
from tasks.worker import WAIT_SECONDS, Busy, Worker, weights_of
from tasks.workers.failures import Failure, Failures

MAX_ATTEMPTS = 3
"""Times that a table is tried if parts that it reads turn out to be damaged, or its server away."""
RETRY_SECONDS = 20.0
"""Before a table is tried again whose server was away, for each time that it was."""


@dataclass(frozen=True)
class Job:
    """A table to build, and what people call it."""

    table: Table
    title: str
    unit: str
    """What its work is counted in: tokens, steps, ..."""


@dataclass
class Loop:
    """One worker's work at an experiment."""

    experiment: str
    jobs: Sequence[Job]
    """Each after those that it needs."""
    plan: Plan
    runtime: Any
    failures: Failures
    reads_sources: bool = True
    """False for a worker of a flow, which reads them itself: only it may reach the network."""
    attempts: Counter[str] = field(default_factory=Counter)
    """Of tables that are tried again, by their digests."""
    not_before: dict[str, float] = field(default_factory=dict)
    """When such a table is tried again."""
    held: Any = None
    """The model in memory."""

    def run(self) -> list[Failure]:
        """Works until nothing is left that could be built; what could not be."""
        while jobs := list(self._left()):
            if not any(self._works_at(job) for job in self._by_model(jobs)):
                stopping.check()
                time.sleep(WAIT_SECONDS)
        found = (self.failures.of(job.table) for job in self.jobs)
        return [failure for failure in found if failure is not None]

    def _left(self) -> Iterator[Job]:
        """Tables that lack parts, without those that failed and all that need one of these."""
        lost: set[str] = set()
        for job in self.jobs:
            table = job.table
            if self.plan.state(table).complete:
                continue
            if self.failures.of(table) or any(need.digest in lost for need in table.needs()):
                lost.add(table.digest)
            else:
                yield job

    def _by_model(self, jobs: Sequence[Job]) -> list[Job]:
        """Those of the model in memory first, then those without one."""

        def rank(job: Job) -> int:
            weights = weights_of(job.table)
            return 1 if weights is None else 0 if weights == self.held else 2

        return sorted(jobs, key=rank)

    def _works_at(self, job: Job) -> bool:
        """Builds the parts of a table that nobody else builds; true if there were any."""
        table = job.table
        try:
            if isinstance(table, SourceTable):
                return self._reads(job, table)
            if time.monotonic() < self.not_before.get(table.digest, 0.0):
                return False
            missing = self.plan.state(table).missing
            if not any(self._is_free(table, wanted) for wanted in missing):
                return False
            self.held = weights_of(table) or self.held
            self._builds(job, table)
        except (stopping.Stopped, Busy):
            raise
        except (Damaged, Unreachable) as error:
            self._tries_again(job, error)
        except Exception as error:
            self._fails(job, error)
        return True

    def _reads(self, job: Job, table: SourceTable) -> bool:
        if self.reads_sources:
            say(f"reading {job.title}")
            table.read(self.plan.store)
        self.plan.refresh(table)  # or the run has read it meanwhile
        return self.reads_sources

    def _is_free(self, table: StageTable, wanted: MissingPart) -> bool:
        """True for a part that neither exists nor is being built."""
        store = self.plan.store
        if part := store.find(table.name, wanted.key):
            self.plan.commit(table, wanted.coordinate, part)
            return False
        with store.lock(table.name, wanted.key) as is_free:
            return is_free

    def _builds(self, job: Job, table: StageTable) -> None:
        missing = self.plan.state(table).missing
        progress = TableProgress(job.title, job.unit)
        activity = Activity(self.experiment, job.title, table.digest, job.unit)
        with beating(progress, self.runtime.workspace, activity) as watcher:
            watcher.started(table, sum(wanted.size for wanted in missing))
            try:
                Worker(self.plan, self.runtime, watcher).round(table, missing)
                watcher.finished()
            finally:
                progress.erase()

    def _tries_again(self, job: Job, error: Damaged | Unreachable) -> None:
        """A damaged part is set aside by now, so it is built again, and then this table."""
        digest = job.table.digest
        self.attempts[digest] += 1
        if self.attempts[digest] == MAX_ATTEMPTS:
            self._fails(job, error)
        elif isinstance(error, Damaged):
            say(f"warning: {error}; it is built again")
            self.plan.forget()
        else:
            self.not_before[digest] = time.monotonic() + RETRY_SECONDS * self.attempts[digest]
            say(f"warning: {job.title}: {brief(error)}; it is tried again")

    def _fails(self, job: Job, error: Exception) -> None:
        say(f"failed: {job.title}: {brief(error)}", urgent=True)
        try:
            self.failures.add(job.table, job.title, error)
        except OSError:  # of a full disk: nobody could be told
            raise error from None
