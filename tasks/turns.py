"""Limits on concurrency: a number of parts at a time, and one model in memory at a time.

Tables wait in separate threads, which costs nothing. The limits are on the work: a part is built in
a slot, and tables whose models are loaded in this process run sequentially.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tasks import stopping

LISTEN_SECONDS = 0.5
"""Interval at which a waiting thread checks whether the run was stopped."""


class Turns:
    def __init__(self, workers: int) -> None:
        self._slots = threading.Semaphore(workers)
        self._memory = threading.Lock()

    @contextmanager
    def slot(self, wanted: bool = True) -> Iterator[None]:
        """Holds one of the slots for building parts; returns at once if not `wanted`."""
        with _held(self._slots, wanted):
            yield

    @contextmanager
    def memory(self, wanted: bool = True) -> Iterator[None]:
        """Holds the right to have a model in memory; returns at once if not `wanted`."""
        with _held(self._memory, wanted):
            yield


@contextmanager
def _held(lock: threading.Semaphore | threading.Lock, wanted: bool) -> Iterator[None]:
    """Raises Stopped if the run is stopped while it waits."""
    while wanted and not lock.acquire(timeout=LISTEN_SECONDS):
        stopping.check()
    try:
        yield
    finally:
        if wanted:
            lock.release()
