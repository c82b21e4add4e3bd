"""When a request may be sent: a window that follows the server, and a gate while it is away.

A server that is busy gets fewer requests at a time. One that is away gets one: the other requests
wait until that one is answered, so that a restart costs its own time and nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Tick = Callable[[], object]
"""Called while something is waited for; may raise, to stop."""
Say = Callable[[str], object]
"""Takes one line for the user."""

GROWS_AFTER = 50
TICK_SECONDS = 0.25
MOST_PROBE_SECONDS = 10.0
"""Between two requests to a server that is away, at most."""
FORGOTTEN_SECONDS = 60.0
"""After which a server that was given up is asked again."""


class Window:
    """How many requests may be under way: halved when the server is busy, one more after 50
    successes, never more than at the beginning."""

    def __init__(self, most: int) -> None:
        self.size = self._most = most
        self.num_successes = 0
        self._under_way = self._since = 0
        self._changed = threading.Condition()

    @contextmanager
    def place(self, tick: Tick) -> Iterator[None]:
        with self._changed:
            while self._under_way >= self.size:
                if not self._changed.wait(TICK_SECONDS):
                    tick()
            self._under_way += 1
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify()

    def succeeded(self) -> None:
        with self._changed:
            self.num_successes += 1
            self._since += 1
            if self._since >= GROWS_AFTER and self.size < self._most:
                self.size, self._since = self.size + 1, 0
                self._changed.notify()

    def shrink(self) -> None:
        with self._changed:
            self.size, self._since = max(1, self.size // 2), 0


class Outage:
    """The state of a server that is away: since when, and which thread asks it for all others.

    `patience` is in seconds of `clock`, from the first failure after the last answer.
    """

    def __init__(self, url: str, patience: float, clock: Callable[[], float], say: Say) -> None:
        self._url, self.patience, self._clock, self._say = url, patience, clock, say
        self._lock = threading.Lock()
        self._since: float | None = None
        self._failed = self._next = 0.0
        self._prober: int | None = None
        self._num_probes = 0
        self._told = False

    def admits(self) -> bool:
        """True if this thread may send a request now: always while the server answers."""
        with self._lock:
            now = self._clock()
            if self._since is None:
                return True
            if self._prober is None and now >= self._next:
                self._prober = threading.get_ident()
            return self._prober == threading.get_ident()

    def is_over(self, seconds: float = 0.0) -> bool:
        """True if the server will have been away for too long, this many seconds from now."""
        with self._lock:
            now = self._clock()
            if self._since is None:
                return False
            if self._prober is None and now > self._failed + FORGOTTEN_SECONDS + seconds:
                self._since = None  # nobody has asked for long: it may be back
                return False
            return now + seconds > self._since + self.patience

    def answered(self) -> None:
        """The server answered, whatever it said."""
        with self._lock:
            if self._since is not None and self._told:
                self._say(f"{self._url} answers again, after {self._clock() - self._since:.0f} s")
            self._since, self._prober, self._told = None, None, False

    def failed(self) -> bool:
        """True if this failure begins an outage. Requests that were already under way then fail
        with the same cause, and count no further."""
        with self._lock:
            now = self._failed = self._clock()
            if self._since is None:
                self._since, self._next, self._num_probes = now, now + 1.0, 0
                return True
            if self._prober == threading.get_ident():
                self._prober, self._num_probes = None, self._num_probes + 1
                self._next = now + min(MOST_PROBE_SECONDS, 2.0**self._num_probes)
            return False

    def tell(self, reason: str) -> None:
        """Says once that a server is waited for, as soon as it is away for more than one try."""
        with self._lock:
            if self._since is not None and self._num_probes and not self._told:
                self._told = True
                self._say(f"{reason}; asking again for up to {self.patience:.0f} s")

    def leave(self) -> None:
        """This thread asks no more, for whatever reason."""
        with self._lock:
            if self._prober == threading.get_ident():
                self._prober = None
