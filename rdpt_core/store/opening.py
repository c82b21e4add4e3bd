"""Opening a store: where its parts are, and which kind of lock keeps their builders apart."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

from rdpt_core.files.replacing import create
from rdpt_core.store.leases import SECONDS, FolderBoard, Leases
from rdpt_core.store.mounts import flock_holds
from rdpt_core.store.objects import Objects
from rdpt_core.store.parts import Store
from rdpt_core.store.remote import RemoteParts

Locks: TypeAlias = Literal["auto", "flock", "lease"]

_holds = cache(flock_holds)


def open_store(
    root: Path,
    *,
    address: str | None = None,
    locks: Locks = "auto",
    lease_seconds: float = SECONDS,
    warn: Callable[[str], None] = lambda line: None,
    read_only: bool = False,
) -> Store:
    """The store of a folder, or of an object store's address, and then the folder is its cache.

    Builders in a folder are kept apart by flock where it reaches every machine that mounts it,
    unless `locks` says otherwise; in an object store always by leases.
    """
    if address:
        objects = Objects(address)
        leases = None if read_only else Leases(objects, lease_seconds, _place(root))
        return Store(root, warn, read_only, leases, RemoteParts(objects))
    by_lease = locks == "lease" or (locks == "auto" and not read_only and not _holds(root))
    return Store(
        root, warn, read_only, Leases(FolderBoard(root), lease_seconds) if by_lease else None
    )


def _place(root: Path) -> str:
    """A name of this cache on this machine: the same for all processes that lock its files."""
    path = root / ".place"
    if not path.exists():
        root.mkdir(parents=True, exist_ok=True)
        create(path, secrets.token_hex(8).encode())
    return f"{socket.gethostname()} {path.read_text()}"
