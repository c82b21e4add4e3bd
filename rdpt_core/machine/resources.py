"""Full disks and memory: errors that say where, how much is needed and how much is free."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)

_WITHOUT_NUMBER = (
    "No space left on device",
    "Disk quota exceeded",
    "os error 28",
    "os error 122",
    "database or disk is full",
    "PytorchStreamWriter failed writing file",
    ". unexpected pos ",
)
"""Messages of safetensors, DuckDB, SQLite and torch for a full disk, in errors without `errno`.
Torch's second message is for a partial write."""


class OutOfMemory(RuntimeError):
    """The smallest piece of the work does not fit into memory."""


class NoRoom(OSError):
    """A disk is full, or has less free space than the work needs."""

    def __init__(self, place: Path | str, needed: int | None, free: int | None) -> None:
        """`needed` and `free` are bytes; None where unknown."""
        super().__init__(errno.ENOSPC, "not enough room on the disk", str(place))
        self.needed, self.free = needed, free

    def __str__(self) -> str:
        known = ((self.needed, "needed"), (self.free, "free"))
        amounts = [f"{amount(size)} {what}" for size, what in known if size is not None]
        return f"{self.strerror}: {self.filename}" + (f": {', '.join(amounts)}" if amounts else "")


def no_room(
    error: BaseException, place: Path | None = None, needed: int | None = None
) -> NoRoom | None:
    """The error with its numbers, if it or one of its causes means a full disk; otherwise None.

    `place` is the path being written, for errors that do not name it.
    """
    for one in _chain(error):
        if isinstance(one, NoRoom):
            return one
        if _is_full(one):
            named = getattr(one, "filename", None) or place
            if named is None:
                return NoRoom(str(one), needed, None)
            return NoRoom(named, needed, free_space(Path(named)))
    return None


def free_space(path: Path) -> int:
    """Free bytes for this user on the disk of a path, or of its nearest existing parent."""
    path = path.absolute()
    return shutil.disk_usage(next(p for p in (path, *path.parents) if p.exists())).free


def amount(num_bytes: float) -> str:
    """`512 B`, `12.3 MB`, `1.2 TB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:,.1f} TB"


def _is_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in FULL
    # The text of a server or a user, quoted in such an error, says nothing about our disk.
    quoting = isinstance(error, ConnectionError | ValueError)
    return not quoting and any(said in str(error) for said in _WITHOUT_NUMBER)


def _chain(error: BaseException) -> list[BaseException]:
    """The error and its causes."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or following.__context__
    return chain
