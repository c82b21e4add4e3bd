"""Replacing a file: readers meet the old content or the new one, never half of either.

The new content is written next to the file and renamed over it. *Durable* adds that both survive a
power cut: the file is synced before the rename, the folder after it. Ours, since the standard
library has no such function and the package for it, atomicwrites, is no longer maintained.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, *, durable: bool = True, within: Path | None = None) -> Iterator[Path]:
    """The name to write to, in the folder `within` or that of `path`: this file takes the place of
    `path` when the block ends, and is removed when the block raises.

    >>> with replacing(Path("settings.json"), durable=False) as new:
    ...     new.write_text("{}")
    """
    with temporary((within or path.parent) / path.name) as new:
        yield new
        if durable:
            sync(new)
        new.rename(path)
    if durable:
        sync(path.parent)


def write_durably(path: Path, content: bytes) -> None:
    """The file is there as it was or with all of `content`, even after a power cut."""
    with replacing(path) as new:
        new.write_bytes(content)


def create(path: Path, content: bytes) -> bool:
    """Writes a file durably with all of `content`, or returns False and changes nothing if `path`
    exists. By a hard link, which a server of files does once, whoever asks."""
    with temporary(path) as new:
        new.write_bytes(content)
        sync(new)
        try:
            os.link(new, path)
        except FileExistsError:
            # NFS may repeat a request whose answer was lost: then the link that exists is ours.
            return new.stat().st_nlink == 2
    sync(path.parent)
    return True


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """A name next to `path`, of this thread alone; no file is left there when the block ends."""
    ours = f"{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"
    new = path.with_name(f".{path.name}.{ours}.tmp")
    new.unlink(missing_ok=True)  # of a process that was killed and had our ids
    try:
        yield new
    finally:
        new.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """The file, or the folder's list of names, is on disk when this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
