"""Who is running: a file in `workspace/running/` for each run and for each table in the making.

Its writer holds a lock on it as long as it lives, which the kernel frees when it dies: so a file
whose lock is free was left by a dead process, whatever it says. Readers take no lock that a run
could ever wait for. All of it is for people; a run continues where it cannot be written.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
from pydantic import TypeAdapter

from rdpt_core.store import notes
from rdpt_core.store.holding import Holder
from rdpt_core.store.locks import exclusive, hold, is_held, shared
from rdpt_core.store.record import Part
from tasks.plan import MissingPart
from tasks.stage import StageTable, Table
from tasks.worker import Watcher

FOLDER = "running"
LOCK = "lock"
"""Shared by runs; `rdpt gc` takes it alone."""
BEAT_SECONDS = 1.0


@dataclass
class Activity:
    """What a file says."""

    experiment: str
    title: str = ""
    """Title of the table; empty for the run itself."""
    table: str = ""
    """Digest of the table."""
    unit: str = ""
    items_done: int = 0
    """Rows of the driving parts."""
    items: int = 0
    items_committed: int = 0
    """Rows of the parts that are whole."""
    units: int = 0
    units_expected: int = 0
    """0 where it is not known."""
    seconds: float = 0.0
    """Since it was begun, by a clock that does not jump."""
    waits_for: str = ""
    since: float = field(default_factory=time.time)
    beat: float = field(default_factory=time.time)
    """When this was written; display only, as `since` is."""
    pid: int = field(default_factory=os.getpid)
    host: str = field(default_factory=socket.gethostname)


ACTIVITY = TypeAdapter(Activity)


class Heartbeat(Watcher):
    """Keeps the file of an activity for as long as it lasts; for a table, it stands between the
    worker and another Watcher."""

    def __init__(self, folder: Path, activity: Activity, watcher: Watcher) -> None:
        self._activity = activity
        self._watcher = watcher
        self._path = folder / f"{activity.pid}-{uuid.uuid4().hex[:8]}.json"
        self._file: Any = None
        self._begun, self._written = time.monotonic(), 0.0
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("xb", buffering=0)
            hold(self._file)
        self._write()

    def _write(self, at_once: bool = True) -> None:
        """In place: a rename would leave the lock on a file that nobody finds."""
        if self._file is None or not (at_once or time.monotonic() - self._written > BEAT_SECONDS):
            return
        self._written = time.monotonic()
        self._activity.seconds, self._activity.beat = self._written - self._begun, time.time()
        text = json.dumps(asdict(self._activity)).encode()
        with contextlib.suppress(OSError):
            os.pwrite(self._file.fileno(), text, 0)
            os.ftruncate(self._file.fileno(), len(text))

    def close(self) -> None:
        """Removes the file, but not in a forked child, which unwinds the blocks it inherited."""
        if self._file is not None and self._activity.pid == os.getpid():
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
            self._file.close()

    # ------------------------------------------------------------------ as a Watcher

    def started(self, table: Table, num_items: int) -> None:
        self._activity.items = num_items
        self._write()
        self._watcher.started(table, num_items)

    def units(self, num_done: int, num_items: int = 0) -> None:
        self._activity.units += num_done
        self._activity.items_done += num_items
        self._write(at_once=False)
        self._watcher.units(num_done, num_items)

    def expects(self, num_units: int) -> None:
        self._activity.units_expected += num_units
        self._write(at_once=False)
        self._watcher.expects(num_units)

    def row(self, row: Any) -> None:
        self._activity.units += 1
        self._write(at_once=False)
        self._watcher.row(row)

    def committed(self, part: Part, num_items: int) -> None:
        self._activity.items_done += num_items
        self._activity.items_committed += part.num_rows
        self._activity.waits_for = ""
        self._write(at_once=False)
        self._watcher.committed(part, num_items)

    def waits(self, table: StageTable, wanted: MissingPart, holder: Holder | None) -> None:
        who = f"process {holder.pid} on {holder.host}" if holder else "another run"
        self._activity.waits_for = f"{wanted.key[:12]}, which {who} is building"
        self._write(at_once=False)
        self._watcher.waits(table, wanted, holder)

    def finished(self) -> None:
        self._watcher.finished()


@contextlib.contextmanager
def beating(watcher: Watcher, workspace: Path, activity: Activity) -> Iterator[Watcher]:
    """Shows an activity to other processes while the block runs; yields the Watcher of its table,
    which passes on to `watcher`."""
    heartbeat = Heartbeat(workspace / FOLDER, activity, watcher)
    try:
        yield heartbeat
    finally:
        heartbeat.close()


@contextlib.contextmanager
def announced(workspace: Path, experiment: str) -> Iterator[None]:
    """Shows a run to other processes while the block runs; `rdpt gc` collects nothing meanwhile."""
    folder = workspace / FOLDER
    with (
        shared(folder / LOCK),  # a collection takes seconds
        beating(Watcher(), workspace, Activity(experiment)),
    ):
        yield


def nobody_runs(workspace: Path) -> contextlib.AbstractContextManager[bool]:
    """True if no run is active; no run can start inside the block."""
    return exclusive(workspace / FOLDER / LOCK, patience=0)


def activities(workspace: Path) -> list[tuple[Activity, bool, Path]]:
    """Each file's activity, whether its writer lives, and the file; oldest first."""
    found = []
    for path in (workspace / FOLDER).glob("*.json"):
        # One that ended meanwhile, or is half written, is not there yet or no more.
        with contextlib.suppress(OSError, ValueError), path.open("rb") as file:
            activity = notes.parse(file.read(), ACTIVITY)
            found.append((activity, _lives(file, activity), path))
    return sorted(found, key=lambda each: each[0].since)


def _lives(file: Any, activity: Activity) -> bool:
    """The lock is held, and, where that can be seen, by the process itself and not by a child that
    inherited it."""
    is_here = activity.host == socket.gethostname()
    return is_held(file) and not (is_here and not psutil.pid_exists(activity.pid))
