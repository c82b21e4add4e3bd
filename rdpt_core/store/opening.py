"""Opening a store: which kind of lock keeps its builders apart."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

from rdpt_core.store.leases import SECONDS, FolderBoard, Leases
from rdpt_core.store.mounts import flock_holds
from rdpt_core.store.parts import Store

Locks: TypeAlias = Literal["auto", "flock", "lease"]

_holds = cache(flock_holds)


def open_store(
    root: Path,
    *,
    locks: Locks = "auto",
    lease_seconds: float = SECONDS,
    warn: Callable[[str], None] = lambda line: None,
    read_only: bool = False,
) -> Store:
    """The store of a folder. `auto` takes flock where it reaches every machine that mounts it."""
    by_lease = locks == "lease" or (locks == "auto" and not read_only and not _holds(root))
    leases = Leases(FolderBoard(root), lease_seconds) if by_lease else None
    return Store(root, warn, read_only, leases)
