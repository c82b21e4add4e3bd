"""A stage: a pure function over rows becomes a cached, resumable, shared table.

Two things are kept apart here. A *call* is a table that is wanted: a stage with its arguments,
where an argument may be another call; it computes nothing. A *job* is one part of it: once the
input parts exist, its recipe and key follow, and the store says whether it is done. So planning,
running and resuming are one walk over the same calls; the store alone decides what is left to do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from rdpt_core import __version__
from rdpt_core.machine.abreast import abreast
from rdpt_core.machine.resources import no_room
from rdpt_core.store.parts import PAYLOAD, Damaged, Holder, Part, Store
from rdpt_core.tables import ids
from rdpt_core.tables.recipe import Plain, Recipe, plain
from tasks import stopping
from tasks.turns import Turns

R = TypeVar("R")

WAIT_SECONDS = 0.5


class Busy(Exception):
    """A needed part is being built by another run, and waiting was declined."""


class Bound(Protocol):
    """A parameter whose identity is not its own fields, such as a model (its content)."""

    def identity(self) -> Plain: ...


class Late(Protocol):
    """A parameter that exists once another table does, such as a model that is trained first."""

    call: Call

    def bind(self, store: Store, part: Part) -> Bound: ...


@dataclass(frozen=True)
class Parts(Generic[R]):
    """A whole table as an argument: its rows part by part, never all at once."""

    store: Store
    row: type[R]
    parts: tuple[Part, ...]

    def __iter__(self) -> Iterator[list[R]]:
        for part in self.parts:
            yield self.store.rows(self.row, part)

    def payload(self) -> Path:
        """The payload folder of a table of one part."""
        (part,) = self.parts
        return self.store.payload(part)


@dataclass
class Work:
    """What a stage function may use besides its rows; nothing of it is identity."""

    folder: Path
    """Where an unfinished part keeps what it has; survives a kill, gone once committed."""
    threads: int
    device: str
    options: Any
    """The Runtime; for loaders alone."""
    progress: Callable[[int], None]
    """Told of units of work (tokens, steps, traces) as they are done."""
    heard: Callable[[Any], None] = lambda row: None
    """Told of rows as they come about, for live views; a row may be told again after a resume."""
    made: dict[str, Any] = field(default_factory=dict)
    """Goes into the part's record; for people."""

    @property
    def payload(self) -> Path:
        """What a stage puts into this folder becomes the part's payload. A resumed stage may find
        it as it left it, or not at all."""
        return self.folder / PAYLOAD


@dataclass(frozen=True, eq=False)
class Stage:
    """Name, version and row type around one function `rows -> rows`."""

    name: str
    version: int
    row: type
    function: Callable[..., Iterable[Any]]
    over: str | None
    """The argument whose parts drive: one part out per part in. None: one part in all."""
    each: str | None
    """The parameter that is expanded: one part per value as well."""
    by_id: tuple[str, ...]
    """Tables that are only looked up by ids, which digest what they name: never in the key."""
    own_process: bool
    """True if its model is loaded in another process than this one."""

    def __call__(self, **arguments: Any) -> Call:
        """The table that this stage makes of these arguments. Computes nothing."""
        tables = {n: v for n, v in arguments.items() if isinstance(v, Call | Given)}
        return Call(self, tables, {n: v for n, v in arguments.items() if n not in tables})


def stage(
    name: str,
    *,
    version: int,
    row: type,
    over: str | None = None,
    each: str | None = None,
    by_id: tuple[str, ...] = (),
    own_process: bool = False,
) -> Callable[[Callable[..., Iterable[Any]]], Stage]:
    """Makes a stage of a function. Bump `version` when rows change for the same inputs."""

    def decorate(function: Callable[..., Iterable[Any]]) -> Stage:
        return Stage(name, version, row, function, over, each, by_id, own_process)

    return decorate


@dataclass(frozen=True, eq=False)
class Given:
    """A table that no stage makes: rows of a source, committed as they are read."""

    table: str
    row: type
    source: str
    """Digest of what names the source; two Given of one source and table are one."""
    parts: Callable[[Store], tuple[Part, ...] | None]
    """The parts; None where the source has not been read yet."""
    read: Callable[[Store], None]
    """Reads the source and commits its parts."""
    peek: Callable[[], tuple[Part, ...]]
    """Reads the source and says which parts it would commit; for plans."""

    @property
    def digest(self) -> str:
        return ids.digest("given", self.table, self.source)


@dataclass(frozen=True, eq=False)
class Call:
    """A table that is wanted."""

    stage: Stage
    tables: Mapping[str, Call | Given]
    parameters: Mapping[str, Any]

    @cached_property
    def digest(self) -> str:
        """Of how the table is derived: equal for equal calls, whoever makes them."""
        inputs = {name: call.digest for name, call in sorted(self.tables.items())}
        fixed = {
            name: value.call.digest if _is_late(value) else plain(_identity(value), name)
            for name, value in sorted(self.parameters.items())
        }
        return ids.digest("call", self.stage.name, self.stage.version, [inputs, fixed])

    @property
    def table(self) -> str:
        name: str = self.stage.row.TABLE  # type: ignore[attr-defined]
        return name

    @property
    def row(self) -> type:
        return self.stage.row

    def needs(self) -> list[Call | Given]:
        """The tables that must exist before this one can be made."""
        late = [value.call for value in self.parameters.values() if _is_late(value)]
        return [*self.tables.values(), *late]


def _is_late(value: object) -> bool:
    return hasattr(value, "bind")


def _identity(value: Any) -> Any:
    return value.identity() if hasattr(value, "identity") else value


# ---------------------------------------------------------------------------- jobs


@dataclass(frozen=True)
class Job:
    """One part of a call whose inputs exist."""

    recipe: Recipe
    inputs: Mapping[str, tuple[Part, ...]]
    parameters: Mapping[str, Any]
    chain: tuple[str, ...]
    """Of the driving part."""

    @property
    def size(self) -> int:
        """Rows of the driving part: how much work this is, roughly."""
        return sum(part.num_rows for part in next(iter(self.inputs.values()), ()))


@dataclass(frozen=True)
class Table:
    """What is known of a call: a committed part, a job to do, or None (inputs missing) each."""

    call: Call | Given
    slots: tuple[Part | Job | None, ...]
    committed: bool = True
    """False for a source that a plan only peeked at."""

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(slot for slot in self.slots if isinstance(slot, Part))

    @property
    def jobs(self) -> tuple[Job, ...]:
        return tuple(slot for slot in self.slots if isinstance(slot, Job))

    @property
    def complete(self) -> bool:
        return self.committed and all(isinstance(slot, Part) for slot in self.slots)


class Plan:
    """Looks calls up in the store, each once; builds nothing and writes nothing.

    With `peek` a source that was never read is read, so that what follows from it can be counted.
    """

    def __init__(self, store: Store, peek: bool = False) -> None:
        self.store, self._peek = store, peek
        self._known: dict[str, Table] = {}

    def table(self, call: Call | Given) -> Table:
        """What existed of a table when this plan first looked."""
        if call.digest not in self._known:
            self._known[call.digest] = self._look_up(call)
        return self._known[call.digest]

    def _look_up(self, call: Call | Given) -> Table:
        if isinstance(call, Given):
            parts = call.parts(self.store)
            if parts is None and self._peek:
                return Table(call, call.peek(), committed=False)
            return Table(call, parts if parts is not None else (None,))
        slots: list[Part | Job | None] = []
        for job in self._jobs(call):
            found = job and self.store.find(call.table, job.recipe.key)
            slots.append(found or job)
        return Table(call, tuple(slots))

    def _jobs(self, call: Call) -> Iterator[Job | None]:
        bound = self._bind(call)
        tables = {name: self.table(needed) for name, needed in call.tables.items()}
        over, each = call.stage.over, call.stage.each
        drivers = tables[over].slots if over else (None,)
        for parameters in _expanded(bound, each) if bound is not None else (None,):
            for driver in drivers:
                blocked = parameters is None or (over and not isinstance(driver, Part))
                part = driver if isinstance(driver, Part) else None
                yield None if blocked else self._job(call, tables, part, parameters or {})

    def _bind(self, call: Call) -> dict[str, Any] | None:
        """Parameters with late ones bound; None while one of them does not exist yet."""
        bound = dict(call.parameters)
        for name, value in call.parameters.items():
            if _is_late(value):
                made = self.table(value.call)
                if not made.complete:
                    return None
                try:
                    bound[name] = value.bind(self.store, made.parts[0])
                except Damaged:
                    return None
        return bound

    def _job(
        self, call: Call, tables: Mapping[str, Table], driver: Part | None, bound: Mapping[str, Any]
    ) -> Job | None:
        inputs: dict[str, tuple[Part, ...]] = {}
        if driver is not None and call.stage.over:
            inputs[call.stage.over] = (driver,)
        for name, table in tables.items():
            if name in inputs:
                continue
            if driver is None:
                fed = table.parts if None not in table.slots and not table.jobs else None
            else:
                fed = _same_descent(driver, table)
            if fed is None:
                return None
            inputs[name] = fed
        identity = {name: plain(_identity(value), name) for name, value in bound.items()}
        content = {
            name: [part.content for part in fed]
            for name, fed in inputs.items()
            if name not in call.stage.by_id
        }
        recipe = Recipe(call.stage.name, call.stage.version, identity, content)
        return Job(recipe, inputs, bound, driver.chain if driver else ())


def _expanded(parameters: Mapping[str, Any], each: str | None) -> list[dict[str, Any]]:
    if each is None:
        return [dict(parameters)]
    return [{**parameters, each: value} for value in parameters[each]]


def _same_descent(driver: Part, table: Table) -> tuple[Part, ...] | None:
    """The part of `table` with the longest common chain: a sibling or an ancestor of `driver`."""
    shared = [(_common(driver.chain, part.chain), part) for part in table.parts]
    longest = max((length for length, _ in shared), default=0)
    # An incomplete table may still lack the sibling, and then an uncle must not stand in for it.
    found = [part for length, part in shared if length == longest > 0]
    if len(found) != 1 or (not table.complete and longest < len(found[0].chain) - 1):
        assert len(found) <= 1 or not table.complete, f"{driver.key} has several siblings"
        return None
    return (found[0],)


def _common(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    length = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        length += 1
    return length


# ---------------------------------------------------------------------------- building


class Watcher(Protocol):
    """Sees a table being made: progress bars, the log, the catalogue."""

    def started(self, call: Call | Given, num_items: int) -> None: ...
    def units(self, num_done: int) -> None: ...
    def heard(self, row: Any) -> None: ...
    def committed(self, part: Part, num_items: int) -> None: ...
    def waits(self, call: Call, job: Job, holder: Holder | None) -> None: ...
    def finished(self) -> None: ...


@dataclass(frozen=True)
class Worker:
    """Claims the jobs of a table until none is left."""

    store: Store
    runtime: Any
    watcher: Watcher
    lock: threading.RLock = field(default_factory=threading.RLock)
    """Around the watcher: parts are made by several threads."""
    turns: Turns | None = None
    """Shared by the tables of a run; of a worker alone, as many parts as its runtime allows."""

    def build(self, call: Call | Given) -> None:
        """Makes every part that the store lacks. Raises what a stage function raises, with the
        part named."""
        if isinstance(call, Given):
            self.watcher.started(call, 1)
            call.read(self.store)
            self.watcher.finished()
            return
        turns = self.turns or Turns(self.runtime.workers)
        with turns.memory(_loads_a_model(call)):
            self._build_all(call, turns)

    def _build_all(self, call: Call, turns: Turns) -> None:
        jobs = list(Plan(self.store).table(call).jobs)
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
        """Whether the part exists afterwards: found, or built here; False if another builds it."""
        stopping.check()
        key = job.recipe.key
        if self.store.find(call.table, key):
            return True
        with self.store.lock(call.table, key) as mine:
            if not mine:
                return False
            if not self.store.find(call.table, key):
                self._build(call, job)
        return True

    def _wait(self, call: Call, job: Job) -> None:
        holder = self.store.holder(call.table, job.recipe.key)
        is_ours = holder is not None and holder.is_this_process
        if not self.runtime.wait and not is_ours:
            raise Busy(_busy(call, job, holder))
        self.watcher.waits(call, job, holder)
        stopping.check()
        time.sleep(WAIT_SECONDS)

    def _build(self, call: Call, job: Job) -> None:
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
        rows = list(call.stage.function(**self._arguments(call, job, work)))
        return self.store.commit(
            call.row,
            job.recipe,
            rows,
            chain=job.chain,
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

    def _arguments(self, call: Call, job: Job, work: Work) -> dict[str, Any]:
        """The arguments of the stage function: Parts where it asks for Parts, else rows."""
        hints = call.stage.function.__annotations__  # strings; a **table has none of its own
        arguments: dict[str, Any] = dict(job.parameters)
        for name, fed in job.inputs.items():
            parts: Parts[Any] = Parts(self.store, call.tables[name].row, fed)
            lazy = str(hints.get(name, "Parts")).startswith("Parts")
            arguments[name] = parts if lazy else next(iter(parts))
        if "work" in hints:
            arguments["work"] = work
        return arguments


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
