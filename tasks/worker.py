"""A worker claims the missing parts of a table until none is left, and reports to a watcher."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import Any

from rdpt_core import __version__
from rdpt_core.machine.abreast import abreast
from rdpt_core.machine.progress import ProgressCallback
from rdpt_core.machine.resources import no_room
from rdpt_core.store.holding import Holder
from rdpt_core.store.parts import LeaseLost, Store
from rdpt_core.store.record import Part
from tasks import stopping
from tasks.arguments import Kind
from tasks.plan import MissingPart, Plan
from tasks.stage import SourceTable, StageTable, Table, Work
from tasks.turns import Turns

WAIT_SECONDS = 0.5


class Busy(Exception):
    """A needed part is being built by another run, and waiting was declined."""


class Watcher:
    """Sees a table being built: for progress bars, the log, `rdpt status`. This one ignores it."""

    def started(self, table: Table, num_items: int) -> None: ...
    def units(self, num_done: int, num_items: int = 0) -> None: ...
    def expects(self, num_units: int) -> None: ...
    def row(self, row: Any) -> None: ...
    def committed(self, part: Part, num_items: int) -> None: ...
    def waits(self, table: StageTable, job: MissingPart, holder: Holder | None) -> None: ...
    def finished(self) -> None: ...


@dataclass
class ItemCount:
    """Items of one part that were finished before it is committed."""

    report: ProgressCallback
    num_items: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Several texts of a part are requested at once."""

    def __call__(self, num_done: int, num_items: int = 0, /) -> None:
        with self.lock:
            self.num_items += num_items
        self.report(num_done, num_items)

    def along(self, rows: Iterable[Any]) -> Iterator[Any]:
        """Counts a trace when the first row of the next one comes."""
        trace: str | None = None
        for row in rows:
            found = getattr(row, "trace_id", None)
            if found != trace and trace is not None:
                self(0, 1)
            trace = found
            yield row

    def take_back(self) -> None:
        """The part failed, so nothing of it counts."""
        with suppress(stopping.Stopped):
            self(0, -self.num_items)


@dataclass(frozen=True)
class Worker:
    """Builds tables, part by part."""

    plan: Plan
    """The run's plan, which is kept current with every part that is built or found."""
    runtime: Any
    watcher: Watcher
    lock: threading.RLock = field(default_factory=threading.RLock)
    """Guards the watcher: several threads build parts."""
    turns: Turns | None = None
    """Shared by the tables of a run. Without it, a worker builds as many parts at once as its
    runtime allows."""

    @property
    def store(self) -> Store:
        return self.plan.store

    def build(self, table: Table) -> None:
        """Builds every part that the store lacks. Raises what a stage function raises."""
        if isinstance(table, SourceTable):
            self.watcher.started(table, 1)
            table.read(self.store)
            self.plan.refresh(table)
            self.watcher.finished()
            return
        turns = self.turns or Turns(self.runtime.workers)
        with turns.memory(weights_of(table) is not None):
            missing: Sequence[MissingPart] = self.plan.state(table).missing
            self.watcher.started(table, sum(wanted.size for wanted in missing))
            while missing:
                left = self.round(table, missing, turns)
                if len(left) == len(missing):
                    self._wait(table, left[0])
                missing = left
            self.watcher.finished()

    def round(
        self, table: StageTable, missing: Sequence[MissingPart], turns: Turns | None = None
    ) -> list[MissingPart]:
        """Builds each of these parts unless another worker does; those that are left to others."""
        slots = turns or Turns(self.runtime.workers)
        is_remote = any(getattr(v, "is_remote", False) for v in table.parameters.values())

        def claim(wanted: MissingPart) -> bool:
            with slots.slot(not is_remote):
                return self._claim(table, wanted)

        claimed = abreast(claim, missing, self._width(table))
        return [wanted for wanted, done in zip(missing, claimed, strict=True) if not done]

    def _width(self, table: StageTable) -> int:
        """How many parts are built at once: several if each has its own forward pass, or if a
        server does the work, so that its window of requests stays full while one part waits for
        its longest text."""
        models = [m for m in table.parameters.values() if hasattr(m, "parts_at_once")]
        return max((model.parts_at_once(self.runtime) for model in models), default=1)

    def _claim(self, table: StageTable, wanted: MissingPart) -> bool:
        """True if the part exists afterwards: found, or built here; False if another builds it."""
        stopping.check()
        key = wanted.key
        part = self.store.find(table.name, key)
        if part is None:
            try:
                with self.store.lock(table.name, key) as mine:
                    if not mine:
                        return False
                    part = self.store.find(table.name, key) or self._build(table, wanted)
            except LeaseLost:
                return False
        self.plan.commit(table, wanted.coordinate, part)
        return True

    def _wait(self, table: StageTable, wanted: MissingPart) -> None:
        holder = self.store.holder(table.name, wanted.key)
        is_ours = holder is not None and holder.is_this_process
        if not self.runtime.wait and not is_ours:
            who = "another run"
            if holder:
                who = f"process {holder.pid} on {holder.host} since {holder.since}"
            raise Busy(f"{table.name}/{wanted.key[:12]} is being built by {who}")
        self.watcher.waits(table, wanted, holder)
        stopping.check()
        time.sleep(WAIT_SECONDS)

    def _build(self, table: StageTable, wanted: MissingPart) -> Part:
        """Builds a part. Its work folder survives every failure, so the next try resumes from it.
        Raises what the stage raises, and NoRoom if the disk is full."""
        folder = self.store.workdir(table.name, wanted.key)
        count = ItemCount(self._progress)
        try:
            part = self._run_stage(table, wanted, count)
        except Exception as error:
            count.take_back()
            full = no_room(error, folder)
            if full is None or full is error:
                raise
            raise full from error
        with self.lock:
            self.watcher.committed(part, wanted.size - count.num_items)
        return part

    def _run_stage(self, table: StageTable, wanted: MissingPart, count: ItemCount) -> Part:
        folder = self.store.begin(table.name, wanted.key)
        work = Work(
            folder,
            self.runtime.threads,
            self.runtime.device,
            self.runtime,
            count,
            self._expects,
            self._row,
        )
        begun = time.monotonic()
        handed = table.hand_over(self.store, wanted.inputs, wanted.parameters, work)
        rows = list(self._counted(table, table.stage.function(**handed), count))
        return self.store.commit(
            table.row,
            wanted.recipe,
            rows,
            coordinate=wanted.coordinate,
            inputs={name: [part.key for part in fed] for name, fed in wanted.inputs.items()},
            seconds=time.monotonic() - begun,
            made={**work.notes, "threads": work.threads, **_packages()},
            payload=work.payload if work.payload.is_dir() else None,
        )

    def _progress(self, num_done: int, num_items: int = 0) -> None:
        stopping.check()
        with self.lock:
            self.watcher.units(num_done, num_items)

    def _expects(self, num_units: int) -> None:
        with self.lock:
            self.watcher.expects(num_units)

    def _counted(self, table: StageTable, rows: Iterable[Any], count: ItemCount) -> Iterator[Any]:
        """Rows of a stage that reports nothing by itself, with its traces counted."""
        if any(a.kind is Kind.WORK for a in table.stage.arguments.values()):
            return iter(rows)
        return count.along(rows)

    def _row(self, row: Any) -> None:
        stopping.check()
        with self.lock:
            self.watcher.row(row)


def weights_of(table: Table) -> Any:
    """The model whose weights are loaded in this process to make the table; None for no model, or
    one that is loaded elsewhere."""
    if isinstance(table, SourceTable) or table.stage.own_process:
        return None
    values = table.parameters.values()
    return next((value for value in values if getattr(value, "has_weights", False)), None)


@cache
def _packages() -> dict[str, str]:
    """The versions that built a part, for people; never identity."""
    return {name: version(name) for name in ("torch", "transformers", "trl", "math-verify")} | {
        "rdpt": __version__
    }
