"""Tables that a worker could not build, told to the other workers of the experiment.

A note lives as long as anybody works at the experiment: each worker and each run holds a lock that
they share, and who finds nobody else there begins without the notes of the last time. So a table
fails once in a run, however many workers could try it, and the next run tries it again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from rdpt_core.files.replacing import replacing
from rdpt_core.machine.worker_errors import FAULT, fault_line, raised
from rdpt_core.store import notes
from rdpt_core.store.locks import exclusive, shared
from rdpt_core.store.parts import Damaged
from tasks.running import FOLDER
from tasks.stage import Table

FAILED = "failed"
LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Failure:
    """What could not be built, and why."""

    title: str
    fault: dict[str, Any]
    damaged: bool = False
    """True if a part was found damaged while it was read; it is set aside, so a retry may do."""

    @property
    def error(self) -> Exception:
        found = raised(self.fault, "in a worker")
        return Damaged(str(found)) if self.damaged else found


_FAILURE = TypeAdapter(Failure)


class Failures:
    """The notes of one experiment, in a folder of the workspace."""

    def __init__(self, workspace: Path, experiment: str) -> None:
        self.folder = workspace / FOLDER / FAILED / experiment

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Counts this process among those that work at the experiment while the block runs."""
        lock = self.folder / LOCK
        with exclusive(lock, patience=0) as is_alone:
            if is_alone:
                self.clear()
        with shared(lock):
            yield

    def clear(self) -> None:
        for path in self.folder.glob("*.json"):
            path.unlink(missing_ok=True)

    def add(self, table: Table, title: str, error: Exception) -> None:
        """Raises OSError where the note cannot be written."""
        fault = json.loads(fault_line(error))[FAULT]
        text = json.dumps(asdict(Failure(title, fault, isinstance(error, Damaged))))
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self._path(table), durable=False) as new:
            new.write_text(text, encoding="utf-8")

    def forgive(self, table: Table) -> None:
        """The table is tried again."""
        self._path(table).unlink(missing_ok=True)

    def of(self, table: Table) -> Failure | None:
        try:
            return notes.parse(self._path(table).read_bytes(), _FAILURE)
        except (OSError, ValueError):
            return None

    def _path(self, table: Table) -> Path:
        return self.folder / f"{table.digest}.json"
