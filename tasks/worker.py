"""A worker: claims the parts of a table until none is left, and tells whoever watches."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import Any

from rdpt_core import __version__
from rdpt_core.machine.abreast import abreast
from rdpt_core.machine.resources import no_room
from rdpt_core.store.parts import Holder, Part, Store
from tasks import stopping
from tasks.plan import Job, Plan
from tasks.stage import Call, Given, Work
from tasks.turns import Turns

WAIT_SECONDS = 0.5


class Busy(Exception):
    """A needed part is being built by another run, and waiting was declined."""


class Watcher:
    """Sees a table being built: for progress bars, the log, `rdpt status`. This one ignores it."""

    def started(self, call: Call | Given, num_items: int) -> None: ...
    def units(self, num_done: int) -> None: ...
    def heard(self, row: Any) -> None: ...
    def committed(self, part: Part, num_items: int) -> None: ...
    def waits(self, call: Call, job: Job, holder: Holder | None) -> None: ...
    def finished(self) -> None: ...


@dataclass(frozen=True)
class Worker:
    """Claims the jobs of a table until none is left."""

    plan: Plan
    """Of the run: it is told of every part that is made or found."""
    runtime: Any
    watcher: Watcher
    lock: threading.RLock = field(default_factory=threading.RLock)
    """Around the watcher: parts are made by several threads."""
    turns: Turns | None = None
    """Shared by the tables of a run; of a worker alone, as many parts as its runtime allows."""

    @property
    def store(self) -> Store:
        return self.plan.store

    def build(self, call: Call | Given) -> None:
        """Makes every part that the store lacks. Raises what a stage function raises, with the
        part named."""
        if isinstance(call, Given):
            self.watcher.started(call, 1)
            call.read(self.store)
            self.plan.refresh(call)
            self.watcher.finished()
            return
        turns = self.turns or Turns(self.runtime.workers)
        with turns.memory(_loads_a_model(call)):
            self._build_all(call, self.plan.table(call).jobs, turns)

    def _build_all(self, call: Call, jobs: Sequence[Job], turns: Turns) -> None:
        self.watcher.started(call, sum(job.size for job in jobs))

        def claim(job: Job) -> bool:
            with turns.slot(not _is_remote(call)):
                return self._claim(call, job)

        while jobs:
            claimed = abreast(claim, jobs, self._width(call))
            left = [job for job, done in zip(jobs, claimed, strict=True) if not done]
            if len(left) == len(jobs):
                self._wait(call, left[0])
            jobs = left
        self.watcher.finished()

    def _width(self, call: Call) -> int:
        """How many parts are made at once: several where each has a forward pass of its own, or
        where a server does the work, so that its window of requests stays full while one part
        waits for its longest text."""
        models = [m for m in call.parameters.values() if hasattr(m, "parts_at_once")]
        return max((model.parts_at_once(self.runtime) for model in models), default=1)

    def _claim(self, call: Call, job: Job) -> bool:
        """True if the part exists afterwards: found, or built here; False if another builds it."""
        stopping.check()
        key = job.recipe.key
        part = self.store.find(call.table, key)
        if part is None:
            with self.store.lock(call.table, key) as mine:
                if not mine:
                    return False
                part = self.store.find(call.table, key) or self._build(call, job)
        self.plan.commit(call, job, part)
        return True

    def _wait(self, call: Call, job: Job) -> None:
        holder = self.store.holder(call.table, job.recipe.key)
        is_ours = holder is not None and holder.is_this_process
        if not self.runtime.wait and not is_ours:
            raise Busy(_busy(call, job, holder))
        self.watcher.waits(call, job, holder)
        stopping.check()
        time.sleep(WAIT_SECONDS)

    def _build(self, call: Call, job: Job) -> Part:
        """Makes a part. What its work folder holds survives every failure, so that the next try
        resumes from it. Raises what the stage raises; of a full disk always NoRoom."""
        folder = self.store.workdir(call.table, job.recipe.key)
        try:
            part = self._made(call, job)
        except Exception as error:
            full = no_room(error, folder)
            if full is None or full is error:
                raise
            raise full from error
        with self.lock:
            self.watcher.committed(part, job.size)
        return part

    def _made(self, call: Call, job: Job) -> Part:
        folder = self.store.begin(call.table, job.recipe.key)
        work = Work(
            folder,
            self.runtime.threads,
            self.runtime.device,
            self.runtime,
            self._progress,
            self._heard,
        )
        begun = time.monotonic()
        handed = call.hand_over(self.store, job.inputs, job.parameters, work)
        rows = list(call.stage.function(**handed))
        return self.store.commit(
            call.row,
            job.recipe,
            rows,
            coordinate=job.coordinate,
            inputs={name: [part.key for part in fed] for name, fed in job.inputs.items()},
            seconds=time.monotonic() - begun,
            made={**work.made, "threads": work.threads, **_packages()},
            payload=work.payload if work.payload.is_dir() else None,
        )

    def _progress(self, num_done: int) -> None:
        stopping.check()
        with self.lock:
            self.watcher.units(num_done)

    def _heard(self, row: Any) -> None:
        stopping.check()
        with self.lock:
            self.watcher.heard(row)


def _loads_a_model(call: Call) -> bool:
    """True if a model's weights are loaded in this process to make the table."""
    here = any(getattr(value, "has_weights", False) for value in call.parameters.values())
    return here and not call.stage.own_process


def _is_remote(call: Call) -> bool:
    return any(getattr(value, "is_remote", False) for value in call.parameters.values())


@cache
def _packages() -> dict[str, str]:
    """What made a part, for people; never identity."""
    return {name: version(name) for name in ("torch", "transformers", "trl", "math-verify")} | {
        "rdpt": __version__
    }


def _busy(call: Call, job: Job, holder: Holder | None) -> str:
    who = f"process {holder.pid} on {holder.host} since {holder.since}" if holder else "another run"
    return f"{call.table}/{job.recipe.key[:12]} is being built by {who}"
