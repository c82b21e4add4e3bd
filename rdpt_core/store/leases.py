"""Leases: who builds a part, where the kernel's locks do not reach other machines.

A lease is the entry with the highest number, `NAME/3`. One claims it by creating the next number,
which one claimant alone can do; keeps it by rewriting that entry, the heartbeat; and frees it by
marking the entry. Nobody writes the entry of another, so `create` is all that must be atomic.

Clocks of machines differ and jump, so no time is written or compared. A waiter takes over when an
entry did not change for `seconds` of the waiter's own monotonic clock.

A holder that was stopped for longer than that wakes up beside another. No lease can prevent it:
therefore a commit asks `is_mine` first, and its record is created, never replaced.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rdpt_core.files.replacing import create, replacing

SECONDS = 60.0
"""Default length of a lease: a heartbeat comes four times as often."""
POLL = 0.2


class Board(Protocol):
    """Small named entries that all claimants see."""

    def entries(self, name: str) -> list[str]:
        """Names of the entries below `name`."""

    def create(self, name: str, content: bytes) -> bool:
        """False, and nothing changes, if the entry exists."""

    def read(self, name: str) -> bytes | None: ...
    def write(self, name: str, content: bytes) -> None: ...
    def remove(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class FolderBoard:
    """Entries as files of a shared folder."""

    root: Path

    def entries(self, name: str) -> list[str]:
        try:
            return os.listdir(self.root / name)
        except FileNotFoundError:
            return []

    def create(self, name: str, content: bytes) -> bool:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return create(path, content)

    def read(self, name: str) -> bytes | None:
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        with replacing(self.root / name, durable=False) as new:
            new.write_bytes(content)

    def remove(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)


@dataclass
class Lease:
    """A lease that this process holds, or held."""

    board: Board
    name: str
    number: int
    place: str | None
    num_beats: int = 0
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    host: str = field(default_factory=socket.gethostname)

    @property
    def entry(self) -> str:
        return f"{self.name}/{self.number}"

    def is_mine(self) -> bool:
        """False once another has taken over."""
        return _latest(self.board, self.name) == self.number

    def content(self, is_free: bool = False) -> bytes:
        holder = {"host": self.host, "pid": os.getpid(), "token": self.token, "place": self.place}
        return json.dumps({**holder, "beats": self.num_beats, "free": is_free}).encode()

    @contextmanager
    def kept(self, every: float) -> Iterator[Lease]:
        """Renews the lease until the block ends, then frees it."""
        ended = threading.Event()
        beating = threading.Thread(target=self._beat, args=(ended, every), daemon=True)
        beating.start()
        try:
            yield self
        finally:
            ended.set()
            beating.join()
            with suppress(OSError):  # it is free after `seconds` anyway
                if self.is_mine():
                    self.board.write(self.entry, self.content(is_free=True))

    def _beat(self, ended: threading.Event, every: float) -> None:
        while not ended.wait(every):
            self.num_beats += 1
            with suppress(OSError):  # the next one may come through
                if not self.is_mine():
                    return
                self.board.write(self.entry, self.content())


@dataclass
class Leases:
    """Claims leases on a board."""

    board: Board
    seconds: float = SECONDS
    place: str | None = None
    """Names what only live processes of this machine lock, so that a lease from the same place,
    claimed under that lock, is that of a dead process and free at once."""
    _seen: dict[str, tuple[int, bytes | None, float]] = field(default_factory=dict)

    @contextmanager
    def hold(self, name: str, wait: bool = False) -> Iterator[Lease | None]:
        """Yields the lease, or None where another holds it; with `wait`, waits for it."""
        lease = self._claim(name)
        while lease is None and wait:
            time.sleep(min(POLL, self.seconds / 4))
            lease = self._claim(name)
        if lease is None:
            yield None
            return
        with lease.kept(self.seconds / 4):
            yield lease

    def _claim(self, name: str) -> Lease | None:
        now = time.monotonic()  # before the look: a claimant stopped in between is only late
        latest = _latest(self.board, name)
        if latest and not self._is_free(name, latest, now):
            return None
        lease = Lease(self.board, name, latest + 1, self.place)
        if not self.board.create(lease.entry, lease.content()):
            return None
        numbers = _numbers(self.board, name)
        if max(numbers) > lease.number:  # our look was old: the number had been used and removed
            self.board.remove(lease.entry)
            return None
        for number in numbers:
            if number < lease.number:
                self.board.remove(f"{name}/{number}")
        self._seen.pop(name, None)
        return lease

    def _is_free(self, name: str, number: int, now: float) -> bool:
        content = self.board.read(f"{name}/{number}")
        before = self._seen.get(name)
        if before is None or before[:2] != (number, content):
            self._seen[name] = before = (number, content, now)
        holder = parse(content)
        if holder.get("free") or (self.place and holder.get("place") == self.place):
            return True
        return now - before[2] > self.seconds


def parse(content: bytes | None) -> dict[str, Any]:
    """The holder in an entry; empty where it says none, and then only time frees it."""
    try:
        found = json.loads(content or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _latest(board: Board, name: str) -> int:
    """The number of the present lease; 0 if there was none."""
    return max(_numbers(board, name), default=0)


def _numbers(board: Board, name: str) -> list[int]:
    return [int(entry) for entry in board.entries(name) if entry.isdecimal()]
