"""Requests to a model server: one deadline each, retries, and a window that follows the server.

The one distinction drawn here is whose fault a failure is. Of the server (busy, broken, out of
reach): the request waits and is sent again, and in the end the run stops, to be resumed. Of the
item (a prompt that is refused, an answer that is none): that item is an error. Of the settings (no
such model, a wrong key): everything stops at once.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property, lru_cache
from http import HTTPStatus
from typing import Any, TypeVar

import httpx

from rdpt_core.models.answers import Garbage, parse
from rdpt_core.models.endpoint import Server

T = TypeVar("T")
Tick = Callable[[], object]
"""Called while something is waited for; may raise, to stop."""

MOST_BYTES = 64 * 2**20
"""Of an answer."""
TRIES = 8
GARBAGE_TRIES = 3
TIMEOUT_TRIES = 2
CIRCUIT = 20
"""Failures in a row after which the server counts as down."""
LONGEST_WAIT = 60.0
LONGEST_TOLD_WAIT = 120.0
"""Seconds, where the server says how long (Retry-After)."""
BROKEN_SECONDS = 540.0
"""After which a server that stays broken is given up, whatever it says of how long to wait."""
GROWS_AFTER = 50
CONNECT_SECONDS = 10.0
TICK_SECONDS = 0.25
STOPS = (401, 403, 404)


class Unreachable(ConnectionError):
    """The server is down, or too busy for too long; what was finished is kept."""


class Refused(ValueError):
    """The server does not let us, whatever the item: a wrong key, no such model or address."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ItemFailed(ValueError):
    """This request cannot be answered; others may."""


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: httpx.Headers
    content: bytes


class _Again(Exception):
    """The server's fault: to be sent again."""

    def __init__(self, reason: str, after: float | None = None, busy: bool = False) -> None:
        super().__init__(reason)
        self.after = after
        """Seconds that the server asks for."""
        self.busy = busy
        """It works, and has others to answer."""


class _TooLong(_Again):
    """It did not answer within the deadline."""


class Window:
    """How many requests may be under way: halved when the server is busy, one more after 50
    successes, never more than at the beginning."""

    def __init__(self, most: int) -> None:
        self.size = self._most = most
        self.num_successes = self.num_failures = 0
        """Failures are those in a row."""
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
            self.num_successes, self.num_failures = self.num_successes + 1, 0
            self._since += 1
            if self._since >= GROWS_AFTER and self.size < self._most:
                self.size, self._since = self.size + 1, 0
                self._changed.notify()

    def failed(self, broken: bool) -> None:
        """`broken`: it counts against the server, as being busy does not."""
        with self._changed:
            self.size, self._since = max(1, self.size // 2), 0
            self.num_failures += broken


class Client:
    """All requests of this process to one server. `clock` and `sleep` are those of waiting between
    tries, `dice` is between 0 and 1."""

    def __init__(
        self,
        server: Server,
        sleep: Callable[[float], object] = time.sleep,
        dice: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.server = server
        self.window = Window(server.concurrency)
        self._sleep, self._dice, self._clock = sleep, dice, clock
        self._lock = threading.Lock()

    def ask(
        self,
        address: str,
        body: dict[str, Any] | None,
        read: Callable[[dict[str, Any]], T],
        tick: Tick = lambda: None,
        tries: int = TRIES,
    ) -> T:
        """What `read` makes of the JSON object that the server answers; a GET without a body.

        Raises Unreachable, Refused, or ItemFailed.
        """
        asked = _Tries(self, tries)
        while True:
            asked.begin()
            try:
                with self.window.place(tick):
                    content = self._content(address, body, tick)
                result = read(parse(content))
            except _Again as error:
                self._wait(asked.again(error), tick)
            except Garbage as error:
                asked.garbage(error)
            else:
                self.window.succeeded()
                return result

    def _wait(self, seconds: float, tick: Tick) -> None:
        until = self._clock() + seconds
        while (left := until - self._clock()) > 0:
            tick()
            self._sleep(min(left, TICK_SECONDS))

    def now(self) -> float:
        return self._clock()

    def delay(self, attempt: int, told: float | None) -> float:
        """Seconds before the next try: what the server says, else 1, 2, 4, ... with jitter."""
        if told is not None:
            return min(told, LONGEST_TOLD_WAIT)
        return float(max(1.0, min(LONGEST_WAIT, 2.0**attempt) * (0.5 + 0.5 * self._dice())))

    def _content(self, address: str, body: dict[str, Any] | None, tick: Tick) -> bytes:
        answer = self._exchange(address, body, tick)
        if answer.status == HTTPStatus.OK:
            return answer.content
        said = f"{self.server.url} answers {answer.status}: {self._message(answer.content)}"
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            self.window.failed(broken=False)
            raise _Again(said, _seconds(answer.headers.get("retry-after")), busy=True)
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self.window.failed(broken=True)
            raise _Again(said, _seconds(answer.headers.get("retry-after")))
        if answer.status in STOPS:
            raise Refused(said, answer.status)
        if answer.status < HTTPStatus.BAD_REQUEST:
            raise Refused(f"{said} (redirects are not followed: give the right url)", answer.status)
        raise ItemFailed(said)

    def _exchange(self, address: str, body: dict[str, Any] | None, tick: Tick) -> _Answer:
        future = asyncio.run_coroutine_threadsafe(self._send(address, body), self._loop)
        try:
            while True:
                with suppress(TimeoutError):
                    return future.result(TICK_SECONDS)
                if future.done():
                    future.result()
                tick()
        except (TimeoutError, httpx.TimeoutException) as error:
            self.window.failed(broken=True)
            raise _TooLong(
                f"{self.server.url} did not answer within {self.server.deadline:g} s"
            ) from error
        except httpx.DecodingError as error:
            raise Garbage("its compression is damaged") from error
        except httpx.TransportError as error:
            self.window.failed(broken=True)
            told = self.redacted(str(error)) or type(error).__name__
            raise _Again(f"{self.server.url} cannot be reached ({told})") from error
        finally:
            future.cancel()

    async def _send(self, address: str, body: dict[str, Any] | None) -> _Answer:
        """One deadline for all of it: a server that sends a byte now and then meets it too."""
        async with asyncio.timeout(self.server.deadline):
            method = "GET" if body is None else "POST"
            place = address if "://" in address else f"{self.server.url}/{address}"
            async with self._http.stream(method, place, json=body) as response:
                content = bytearray()
                async for chunk in response.aiter_bytes():
                    content += chunk
                    if len(content) > MOST_BYTES:
                        raise ItemFailed(
                            f"{self.server.url} answers with more than {MOST_BYTES // 2**20} MB"
                        )
                return _Answer(response.status_code, response.headers, bytes(content))

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            return self._running

    @cached_property
    def _running(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, name="model server", daemon=True).start()
        return loop

    @cached_property
    def _http(self) -> httpx.AsyncClient:
        """Verifies certificates, follows no redirect; the environment's proxy is not for this
        machine itself. Used inside the loop's thread alone."""
        key = self.server.api_key
        most = self.server.concurrency
        return httpx.AsyncClient(
            headers={} if not key else {"Authorization": f"Bearer {key.get_secret_value()}"},
            timeout=httpx.Timeout(None, connect=min(CONNECT_SECONDS, self.server.deadline)),
            limits=httpx.Limits(max_connections=most, max_keepalive_connections=most),
            trust_env=not self.server.is_here,
            follow_redirects=False,
        )

    def _message(self, content: bytes) -> str:
        """What a server says that refuses, on one line."""
        text = content[:4096].decode(errors="replace")
        with suppress(ValueError, RecursionError):
            found = json.loads(content)
            inner = found.get("error", found) if isinstance(found, dict) else found
            text = str(inner.get("message", inner) if isinstance(inner, dict) else inner)
        return self.redacted(" ".join(text.split()))[:300]

    def redacted(self, text: str) -> str:
        key = self.server.api_key
        secret = "" if key is None else key.get_secret_value()
        return text.replace(secret, "[key]") if secret else text


class _Tries:
    """The tries of one request."""

    def __init__(self, client: Client, most: int) -> None:
        self._client, self._most = client, most
        self._before = client.window.num_successes
        self._failed = self._too_long = self._garbage = 0
        self._until: float | None = None
        """When a server that is broken is given up; from its first failure on."""

    def begin(self) -> None:
        if self._client.window.num_failures >= CIRCUIT:
            raise Unreachable(
                f"{self._client.server.url} failed {CIRCUIT} times in a row: start it again, then "
                "go on (what was finished is kept)"
            )

    def again(self, error: _Again) -> float:
        """Seconds to wait. Raises where that was the last try: the item is at fault if others got
        through meanwhile, else the server."""
        self._failed += 1
        self._too_long += isinstance(error, _TooLong)
        wait = self._client.delay(self._failed - 1, error.after)
        if self._failed < self._most and self._may_wait(error, wait):
            return wait
        if self._client.window.num_successes > self._before:
            raise ItemFailed(f"{error}, {self._failed} times, while others were answered")
        raise Unreachable(f"{error}, {self._failed} times: see to the server, then go on")

    def _may_wait(self, error: _Again, seconds: float) -> bool:
        if error.busy:
            return True
        if isinstance(error, _TooLong):
            return self._too_long < TIMEOUT_TRIES
        now = self._client.now()
        self._until = self._until or now + BROKEN_SECONDS
        return now + seconds <= self._until

    def garbage(self, error: Garbage) -> None:
        self._garbage += 1
        if self._garbage >= GARBAGE_TRIES:
            told = self._client.redacted(f"answers what is no answer ({error})")
            raise ItemFailed(f"{self._client.server.url} {told}, {self._garbage} times") from error


@lru_cache(maxsize=64)
def _client(server: Server, process: int) -> Client:
    return Client(server)


def client_of(server: Server) -> Client:
    """One client per server and process: whoever asks shares its window."""
    return _client(server, os.getpid())


def _seconds(told: str | None) -> float | None:
    """Of a Retry-After, which is a number or a date; None where it is neither."""
    with suppress(ValueError):
        seconds = float(told or "")
        return seconds if math.isfinite(seconds) and seconds >= 0 else None
    with suppress(ValueError):
        return max(0.0, parsedate_to_datetime(told or "").timestamp() - time.time())
    return None
