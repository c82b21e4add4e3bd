"""The points at which a test ends the process, or fills its disk.

The product knows nothing of them: they lie around the calls that it makes anyway, and are planted
from outside, into this process and those that it forks.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rdpt_core.store.parts import Store
from rdpt_core.tables import columns

Stop = Callable[[str, str], None]
"""Called with the table and the point that is reached."""

POINTS = (
    "before_write",
    "mid_write",
    "before_rename",
    "after_rename",
    "before_commit",
    "after_commit",
)


@contextmanager
def planted(stop: Stop) -> Iterator[None]:
    """Within, `stop` is called at each point of each commit."""
    write, rename, seal = columns.write_parquet, Path.rename, Store.seal

    def _write(row: type, rows: Any, path: Path) -> None:
        if _is_part(path):
            stop(path.parents[2].name, "before_write")
        write(row, rows, path)
        if _is_part(path):
            stop(path.parents[2].name, "mid_write")

    def _rename(path: Path, target: Path) -> Path:
        is_part = _is_part(path) and target.suffix == ".parquet"
        if is_part:
            stop(target.parent.name, "before_rename")
        renamed = rename(path, target)
        if is_part:
            stop(target.parent.name, "after_rename")
        return renamed

    def _seal(store: Store, record: Any) -> None:
        stop(record.part.table, "before_commit")
        seal(store, record)
        stop(record.part.table, "after_commit")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "write_parquet", _write)
        patch.setattr(Path, "rename", _rename)
        patch.setattr(Store, "seal", _seal)
        yield


def _is_part(path: Path) -> bool:
    """True for the file of a part under its temporary name, TABLE/.work/KEY/.KEY.parquet.*.tmp;
    batches in that folder have other names."""
    return path.suffix == ".tmp" and path.name.startswith(f".{path.parent.name}.parquet.")


def killing(table: str, point: str, number: int = 1) -> Stop:
    """SIGKILL when the point is reached for the `number`-th time."""
    num_reached = 0

    def stop(at_table: str, at_point: str) -> None:
        nonlocal num_reached
        num_reached += (at_table, at_point) == (table, point)
        if num_reached == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return stop


def passing(table: str, point: str) -> None:
    """A Stop that stops nothing."""


def dies_after(owner: type, name: str, number: int) -> Callable[[], None]:
    """Arms the process: SIGKILL after the `number`-th call of a method. Calls of several threads
    wait for each other, so that no other call has finished by then, nor begun."""
    method, turn = getattr(owner, name), threading.Lock()
    left = number

    def wrapped(*arguments: Any, **named: Any) -> Any:
        nonlocal left
        with turn:
            result = method(*arguments, **named)
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
        return result

    return lambda: setattr(owner, name, wrapped)
