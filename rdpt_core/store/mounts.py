"""Which file system a folder lies on, and whether the kernel's locks there reach other machines."""

from __future__ import annotations

import fcntl
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psutil

LOCAL = {
    "btrfs",
    "ext2",
    "ext3",
    "ext4",
    "f2fs",
    "overlay",
    "ramfs",
    "rootfs",
    "tmpfs",
    "xfs",
    "zfs",
}
"""One machine mounts them, so a lock that holds there holds for all."""
CLUSTER = {"ceph", "gfs2", "nfs", "nfs4", "ocfs2"}
"""Their flock asks the server, or all nodes, unless an option says otherwise. NFS does so by a
byte-range lock of the whole file."""
ALONE = {"local_lock=all", "local_lock=flock", "localflock", "nobrl", "nolock"}
"""Options of mounts whose flock is known to this machine alone."""


@dataclass(frozen=True, slots=True)
class Mount:
    """The mount that holds a folder."""

    kind: str
    options: frozenset[str]

    @property
    def is_local(self) -> bool:
        return self.kind in LOCAL

    @property
    def flock_reaches_all(self) -> bool:
        """True if a flock excludes processes of every machine that mounts it. Unknown kinds, and
        FUSE, SMB, 9p, virtiofs, BeeGFS and GPFS, count as no: some lock on one machine only."""
        if self.options & ALONE:
            return False
        lustre = self.kind == "lustre" and "flock" in self.options
        return self.is_local or lustre or self.kind in CLUSTER


def mount_of(folder: Path) -> Mount:
    """The mount of a folder, or of the nearest one above it that exists."""
    there = nearest(folder)
    mounts = [m for m in psutil.disk_partitions(all=True) if there.is_relative_to(m.mountpoint)]
    found = max(mounts, key=lambda m: len(m.mountpoint), default=None)
    if found is None:
        return Mount("unknown file system", frozenset())
    return Mount(str(found.fstype), frozenset(found.opts.split(",")))


def flock_holds(folder: Path) -> bool:
    """True if flock keeps two processes apart on every machine that sees the folder: its mount says
    so, and a second holder on this machine was refused."""
    return mount_of(folder).flock_reaches_all and flock_excludes(folder)


def flock_excludes(folder: Path) -> bool:
    """True if a second flock of one file is refused. Raises nothing: some mounts have no locks, and
    on a read-only one nothing is built."""
    try:
        with tempfile.NamedTemporaryFile(dir=nearest(folder), prefix=".rdpt-lock-") as first:
            fcntl.flock(first, fcntl.LOCK_EX)
            with open(first.name, "rb") as second:
                try:
                    fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return True
        return False
    except OSError as error:
        return isinstance(error, PermissionError) or error.errno == 30  # EROFS


def nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    found = folder.resolve()
    while not found.is_dir():
        found = found.parent
    return found
