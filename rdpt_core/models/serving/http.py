"""Requests to a model server: one deadline each, and retries (when: `window.py`).

The one distinction drawn here is whose fault a failure is. Of the server (busy, broken, out of
reach): the request waits and is sent again, and in the end the run stops, to be resumed. Of the
item (a prompt that is refused, an unusable response): that item is an error. Of the settings (no
such model, a wrong key): everything stops at once.

The loop is ours: when to stop and how long to wait follow from the window and the outage that all
requests share, so that of tenacity nothing but its loop was used, and 23 lines more were needed.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property, lru_cache
from http import HTTPStatus
from typing import Any, TypeVar

import httpx

from rdpt_core.models.serving.answers import Garbage, Interrupted, one_line, parse
from rdpt_core.models.serving.endpoint import ModelServer
from rdpt_core.models.serving.window import TICK_SECONDS, Outage, Say, Tick, Window

T = TypeVar("T")

MOST_BYTES = 64 * 2**20
"""Largest response that is read."""
TRIES = 8
GARBAGE_TRIES = 3
TIMEOUT_TRIES = 2
LONGEST_WAIT = 60.0
LONGEST_TOLD_WAIT = 120.0
"""Seconds, where the server says how long (Retry-After)."""
CONNECT_SECONDS = 10.0
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


class Client:
    """All requests of this process to one server. `clock` and `sleep` are those of waiting between
    tries, `dice` is between 0 and 1, `say` takes a line for the user."""

    def __init__(
        self,
        server: ModelServer,
        sleep: Callable[[float], object] = time.sleep,
        dice: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
        say: Say = lambda line: None,
    ) -> None:
        self.server, self.say = server, say
        self.window = Window(server.concurrency)
        self.outage = Outage(server.url, server.patience, clock, say)
        self._sleep, self._dice, self._clock = sleep, dice, clock
        self._lock = threading.Lock()

    def ask(
        self,
        address: str,
        body: dict[str, Any] | None,
        read: Callable[[dict[str, Any]], T],
        tick: Tick = lambda: None,
        tries: int | None = None,
        num_tokens: int = 0,
    ) -> T:
        """What `read` makes of the JSON object that the server answers; a GET without a body.

        `tries` bounds also what is tried of a server that is away; `num_tokens` is how many the
        request asks for, which lengthens its deadline. Raises Unreachable, Refused, or ItemFailed.
        """
        asked = _Tries(self, tries)
        while True:
            self._wait_for_server(tick)
            try:
                with self.window.place(tick):
                    if not self.outage.admits():
                        continue  # it went away while this request waited for its turn
                    content = self._content(address, body, tick, num_tokens)
                result = read(parse(content))
            except _Again as error:
                wait = asked.again(error)
                self.outage.tell(str(error))
                self._wait(wait, tick)
            except Interrupted as error:
                self._wait(asked.again(_Again(f"{self.server.url}: {error}", busy=True)), tick)
            except Garbage as error:
                asked.garbage(error)
            else:
                self.window.succeeded()
                return result
            finally:
                self.outage.leave()

    def _wait_for_server(self, tick: Tick) -> None:
        while not self.outage.admits():
            if self.outage.is_over():
                raise Unreachable(self.given_up())
            tick()
            self._sleep(TICK_SECONDS)

    def _wait(self, seconds: float, tick: Tick) -> None:
        until = self._clock() + seconds
        while (left := until - self._clock()) > 0:
            tick()
            self._sleep(min(left, TICK_SECONDS))

    def delay(self, attempt: int, told: float | None) -> float:
        """Seconds before the next try: what the server says, else 1, 2, 4, ... with jitter."""
        if told is not None:
            return min(told, LONGEST_TOLD_WAIT)
        return float(max(1.0, min(LONGEST_WAIT, 2.0**attempt) * (0.5 + 0.5 * self._dice())))

    def given_up(self) -> str:
        return (
            f"{self.server.url} did not answer for {self.server.patience:g} s: start it again, "
            "then resume (finished work is kept)"
        )

    def _content(
        self, address: str, body: dict[str, Any] | None, tick: Tick, num_tokens: int
    ) -> bytes:
        answer = self._exchange(address, body, tick, num_tokens)
        said = f"{self.server.url} answers {answer.status}: {self._message(answer.content)}"
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise self._failure(_Again(said, _seconds(answer.headers.get("retry-after"))))
        self.outage.answered()
        if answer.status == HTTPStatus.OK:
            return answer.content
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            self.window.shrink()
            raise _Again(said, _seconds(answer.headers.get("retry-after")), busy=True)
        if answer.status in STOPS:
            raise Refused(said + self._hint(answer.status), answer.status)
        if answer.status < HTTPStatus.BAD_REQUEST:
            raise Refused(f"{said} (redirects are not followed: give the right url)", answer.status)
        raise ItemFailed(said)

    def _failure(self, error: _Again) -> _Again:
        """A failure of the server; the first of an outage halves the window, the others are its
        echo."""
        if self.outage.failed():
            self.window.shrink()
        return error

    def _hint(self, status: int) -> str:
        if status != HTTPStatus.NOT_FOUND or self.server.url.endswith("/v1"):
            return ""
        return f" (the address of a model server ends in /v1: try {self.server.url}/v1)"

    def _exchange(
        self, address: str, body: dict[str, Any] | None, tick: Tick, num_tokens: int
    ) -> _Answer:
        deadline = self.server.deadline + num_tokens * self.server.token_seconds
        with self._lock:
            loop = self._running
        future = asyncio.run_coroutine_threadsafe(self._send(address, body, deadline), loop)
        try:
            while True:
                with suppress(TimeoutError):
                    return future.result(TICK_SECONDS)
                if future.done():
                    future.result()
                tick()
        except (TimeoutError, httpx.TimeoutException) as error:
            raise self._failure(_TooLong(self._late(deadline, num_tokens))) from error
        except httpx.DecodingError as error:
            raise Garbage("its compression is damaged") from error
        except httpx.TransportError as error:
            told = self.redacted(one_line(str(error))) or type(error).__name__
            again = _Again(f"{self.server.url} cannot be reached ({told})")
            raise self._failure(again) from error
        finally:
            future.cancel()

    def _late(self, deadline: float, num_tokens: int) -> str:
        server = self.server
        if not num_tokens:
            return f"{server.url} did not answer within {deadline:g} s: raise its `deadline`"
        return (
            f"{server.url} did not answer within {deadline:g} s ({server.deadline:g} s, and "
            f"{server.token_seconds:g} s for each of {num_tokens} tokens): raise its `deadline` or "
            "`token_seconds` in RDPT_SERVERS, or lower max_new_tokens"
        )

    async def _send(self, address: str, body: dict[str, Any] | None, deadline: float) -> _Answer:
        """One deadline for all of it: a server that sends a byte now and then meets it too."""
        async with asyncio.timeout(deadline):
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
            # OpenAI: {"error": {"message": ...}}, vLLM: {"error": ...}, FastAPI: {"detail": ...}
            for key in ("error", "detail", "message"):
                if isinstance(found, dict) and found.get(key):
                    found = found[key]
            text = found if isinstance(found, str) else json.dumps(found)
        return one_line(self.redacted(text))[:300]

    def redacted(self, text: str) -> str:
        key = self.server.api_key
        secret = "" if key is None else key.get_secret_value()
        return text.replace(secret, "[key]") if secret else text


class _Tries:
    """The tries of one request. `most` bounds them all; None bounds those that are its own fault,
    and leaves the others to the time that the server has been away."""

    def __init__(self, client: Client, most: int | None) -> None:
        self._client, self._most = client, most
        self._before = client.window.num_successes
        self._failed = self._own = self._too_long = self._garbage = 0
        self._others = False

    def again(self, error: _Again) -> float:
        """Seconds to wait. Raises where that was the last try: the item is at fault if others got
        through meanwhile, else the server."""
        successes = self._client.window.num_successes
        others, self._before = successes > self._before, successes
        self._others |= others
        self._failed += 1
        self._own += others or error.busy
        self._too_long += isinstance(error, _TooLong)
        wait = self._client.delay(self._failed - 1, error.after)
        over = self._client.outage.is_over(wait)
        if not over and self._may_try(error):
            return wait
        times = f"{self._failed} time{'s' if self._failed > 1 else ''}"
        if self._others and not over:
            raise ItemFailed(f"{error}, {times}, while others were answered")
        kept = "check the server, then resume (finished work is kept)"
        raise Unreachable(f"{error}; tried {times}: {kept}")

    def _may_try(self, error: _Again) -> bool:
        if self._most is not None and self._failed >= self._most:
            return False
        return self._own < TRIES and self._too_long < TIMEOUT_TRIES

    def garbage(self, error: Garbage) -> None:
        self._garbage += 1
        if self._garbage >= GARBAGE_TRIES:
            told = self._client.redacted(one_line(f"returned an unusable response ({error})"))
            raise ItemFailed(f"{self._client.server.url} {told}, {self._garbage} times") from error


@lru_cache(maxsize=64)
def _client(server: ModelServer, process: int, say: Say) -> Client:
    return Client(server, say=say)


def client_of(server: ModelServer, say: Say) -> Client:
    """One client per server and process: all who ask share its window."""
    return _client(server, os.getpid(), say)


def _seconds(told: str | None) -> float | None:
    """Seconds of a Retry-After, which is a number or a date; None where it is neither."""
    with suppress(ValueError):
        seconds = float(told or "")
        return seconds if math.isfinite(seconds) and seconds >= 0 else None
    with suppress(ValueError):
        return max(0.0, parsedate_to_datetime(told or "").timestamp() - time.time())
    return None
