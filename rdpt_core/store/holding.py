"""Who builds a part: the lock of a part, by flock or by a lease, and the note of its holder."""

from __future__ import annotations

import json
import math
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from rdpt_core.store import notes
from rdpt_core.store.leases import Lease, Leases
from rdpt_core.store.locks import exclusive


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that is building a part."""

    pid: int
    host: str
    since: str

    @property
    def is_this_process(self) -> bool:
        """True for another thread of this process, which builds the part for another table."""
        return (self.pid, self.host) == (os.getpid(), socket.gethostname())


_HOLDER = TypeAdapter(Holder)


class PartLocks:
    """Keeps builders of a part apart, in the folder of a store."""

    def __init__(self, root: Path, leases: Leases | None, is_cache: bool) -> None:
        """By flock, or by `leases`; a folder that is the cache of a remote store takes both, since
        the processes of this machine share it."""
        self._root, self._leases = root, leases
        self._by_flock = leases is None or is_cache
        self._held: dict[tuple[str, str], Lease] = {}

    @contextmanager
    def hold(self, table: str, key: str, wait: bool) -> Iterator[bool]:
        """Yields True if the caller holds the part; with `wait` it blocks until then.

        The kernel frees the lock of a dead holder (0.3 ms after kill -9); a lease runs out.
        """
        with ExitStack() as stack:
            mine = True
            if self._by_flock:
                patience = math.inf if wait else 0
                mine = stack.enter_context(exclusive(self._path(table, key), patience))
            if mine and self._leases:
                lease = stack.enter_context(self._leases.hold(f"{table}/.leases/{key}", wait))
                mine = lease is not None
                if lease:
                    self._held[table, key] = lease
                    stack.callback(self._held.pop, (table, key))
            if mine:
                self._note_holder(self._path(table, key))
            yield mine

    def is_mine(self, table: str, key: str) -> bool:
        """False once another has taken over the lease that this process held."""
        lease = self._held.get((table, key))
        return lease is None or lease.is_mine()

    def holder(self, table: str, key: str) -> Holder | None:
        """The holder of a part's lock, according to its file."""
        try:
            return notes.parse(self._path(table, key).read_bytes(), _HOLDER)
        except (OSError, ValueError):
            return None

    def _note_holder(self, path: Path) -> None:
        holder = Holder(os.getpid(), socket.gethostname(), time.strftime("%H:%M:%S"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(holder)))

    def _path(self, table: str, key: str) -> Path:
        return self._root / table / ".locks" / key
