"""Who works when: so many parts at a time, and one model in memory at a time.

Tables wait in threads of their own, which costs nothing. What is bounded is the work: a part is
built on a slot, and tables whose models are loaded in this process follow each other.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tasks import stopping

LISTEN_SECONDS = 0.5
"""How often somebody who waits looks whether the run was stopped."""


class Turns:
    def __init__(self, workers: int) -> None:
        self._slots = threading.Semaphore(workers)
        self._memory = threading.Lock()

    @contextmanager
    def slot(self, wanted: bool = True) -> Iterator[None]:
        """One of the parts that are built at the same time; at once where it is not `wanted`."""
        with _held(self._slots, wanted):
            yield

    @contextmanager
    def memory(self, wanted: bool = True) -> Iterator[None]:
        """The one table whose model is in memory; at once where it is not `wanted`."""
        with _held(self._memory, wanted):
            yield


@contextmanager
def _held(lock: threading.Semaphore | threading.Lock, wanted: bool) -> Iterator[None]:
    """Raises Stopped where the run is stopped before its turn has come."""
    while wanted and not lock.acquire(timeout=LISTEN_SECONDS):
        stopping.check()
    try:
        yield
    finally:
        if wanted:
            lock.release()
