"""Locks between threads and processes. The kernel frees them when their holder dies, however.

An exclusive lock is filelock's, which a forked child does not inherit. Two things it cannot do are
ours, by the same flock of the kernel, so that all of them meet: shared locks (its ReadWriteLock is
another kind, a transaction of SQLite), and asking whether a lock is held without taking it.
"""

from __future__ import annotations

import fcntl
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout


@contextmanager
def exclusive(path: Path, patience: float = math.inf) -> Iterator[bool]:
    """Yields True if the block holds the lock, False where another held it for all of `patience`
    seconds. The file is made where there is none, and stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Its soft locks, for file systems without others, would outlive a holder that was killed.
    lock = FileLock(path, timeout=patience, fallback_to_soft=False)
    with suppress(Timeout):
        lock.acquire()
    try:
        yield lock.is_locked
    finally:
        lock.release()


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Holds the lock with others that share it; waits while somebody holds it alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def hold(file: IO[bytes]) -> None:
    """Locks an open file until it is closed, by this process or by its death."""
    fcntl.flock(file, fcntl.LOCK_EX)


def is_held(file: IO[bytes]) -> bool:
    """True if a file that is open for reading is locked by `hold`. Closing it ends the look."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
