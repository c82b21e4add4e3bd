"""Who builds the tables of a run: threads of its own process, or a crew of workers elsewhere.

The flow knows only `Runner`. A table's task has it build the table and is told of the progress.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from rdpt_core.store.record import Coordinate, Part
from tasks import stopping
from tasks.plan import Plan
from tasks.progress import TableProgress
from tasks.running import Activity, activities, beating
from tasks.stage import SourceTable, StageTable
from tasks.turns import Turns
from tasks.worker import Worker
from tasks.workers.failures import Failures
from tasks.workers.loop import Job

LOOK_SECONDS = 0.5


class Runner(AbstractContextManager["Runner"], Protocol):
    """Builds tables. A context: what it has started has ended when the block is left."""

    def build(self, job: Job, progress: TableProgress) -> None:
        """Returns once every part exists. Raises what a stage raises."""

    def found(self, parts: Sequence[Part]) -> int:
        """How many of the parts there were before this run."""


@dataclass
class Threads(Runner):
    """Builds in threads of this process: several parts at a time, one model in memory."""

    experiment: str
    plan: Plan
    runtime: Any
    turns: Turns

    def build(self, job: Job, progress: TableProgress) -> None:
        activity = Activity(self.experiment, job.title, job.table.digest, job.unit)
        with beating(progress, self.runtime.workspace, activity) as watcher:
            Worker(self.plan, self.runtime, watcher, turns=self.turns).build(job.table)

    def found(self, parts: Sequence[Part]) -> int:
        return len(parts)

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        """Its threads are those of the tasks, which have ended."""


class Crew(Protocol):
    """Workers in other processes, each with a `Loop`."""

    def start(self) -> None:
        """Starts them, the first time that it is called."""

    def check(self) -> None:
        """Replaces workers that were killed. Raises where that does not help."""

    def end(self) -> None:
        """Ends all of them, within seconds."""


@dataclass
class Hired(Runner):
    """Leaves tables of stages to a crew, and waits until the store holds their parts. Sources are
    read by the run itself, which alone may reach the network."""

    experiment: str
    plan: Plan
    runtime: Any
    crew: Crew
    failures: Failures
    begun: float = field(default_factory=time.time)

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.crew.end()

    def found(self, parts: Sequence[Part]) -> int:
        """A worker does not wait for the task of a table, whose parts may exist when it starts."""
        return sum(self.plan.store.committed_at(part) < self.begun for part in parts)

    def build(self, job: Job, progress: TableProgress) -> None:
        table = job.table
        if isinstance(table, SourceTable):
            progress.started(table, 1)
            table.read(self.plan.store)
            self.plan.refresh(table)
        else:
            self.crew.start()
            self._await(table, job, progress)
        progress.finished()

    def _await(self, table: StageTable, job: Job, progress: TableProgress) -> None:
        shown = CrewProgress(table, self.plan, self.runtime.workspace, progress, self.begun)
        shown.begin()
        while not shown.look():
            if failure := self.failures.of(table):
                if failure.damaged:  # then the run walks again
                    self.failures.forgive(table)
                raise failure.error
            self.crew.check()
            stopping.check()
            time.sleep(LOOK_SECONDS)


@dataclass
class CrewProgress:
    """Tells a table's progress what its workers do, as the store and their activities show it."""

    table: StageTable
    plan: Plan
    workspace: Path
    progress: TableProgress
    begun: float
    known: set[Coordinate] = field(default_factory=set)
    """Where parts stand that the progress knows of."""
    units: Counter[Path] = field(default_factory=Counter)
    """The last that each worker said; its file goes when it is done with the table."""
    expected: Counter[Path] = field(default_factory=Counter)

    def begin(self) -> None:
        """Parts from before this run are no part of the work."""
        places = self.plan.state(self.table).places
        for at, place in places.items():
            if isinstance(place, Part) and self.plan.store.committed_at(place) < self.begun:
                self.known.add(at)
        self.progress.started(
            self.table, sum(self._size(at) for at in places if at not in self.known)
        )

    def look(self) -> bool:
        """True once every part exists."""
        state = self.plan.state(self.table)
        if state.is_blocked:  # a part that it is made from was damaged, and is built again
            self.plan.forget()
        for wanted in state.missing:
            if part := self.plan.store.find(self.table.name, wanted.key):
                self.plan.commit(self.table, wanted.coordinate, part)
        for at, place in state.places.items():
            if isinstance(place, Part) and at not in self.known:
                self.known.add(at)
                self.progress.committed(place, self._size(at))
        self._add_units()
        return state.complete

    def _add_units(self) -> None:
        for activity, lives, path in activities(self.workspace):
            if lives and activity.table == self.table.digest:
                self.progress.expects(activity.units_expected - self.expected[path])
                self.progress.units(max(activity.units - self.units[path], 0))
                self.expected[path] = activity.units_expected
                self.units[path] = activity.units

    def _size(self, at: Coordinate) -> int:
        """Rows of the part that drives the one there."""
        over = self.table.stage.over
        driver = self.plan.state(self.table.tables[over]).at(at) if over else None
        return driver.num_rows if isinstance(driver, Part) else 1
