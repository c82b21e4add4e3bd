"""Which file systems need leases."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from rdpt_core.store import mounts
from rdpt_core.store.mounts import Mount, flock_excludes, flock_holds, mount_of
from rdpt_core.store.opening import open_store


@pytest.mark.parametrize(
    ("kind", "options", "reaches_all"),
    [
        ("ext4", "rw,relatime", True),
        ("overlay", "rw", True),
        ("nfs4", "rw,vers=4.2,local_lock=none", True),
        ("nfs", "rw,vers=3,nolock,local_lock=all", False),
        ("nfs", "rw,vers=3,local_lock=flock", False),
        ("lustre", "rw,flock", True),
        ("lustre", "rw,localflock", False),
        ("lustre", "rw,noflock", False),
        ("ceph", "rw", True),
        ("cifs", "rw", False),
        ("fuse.sshfs", "rw", False),
        ("beegfs", "rw", False),
        ("9p", "rw", False),
        ("a new one", "rw", False),
    ],
)
def test_a_kind_and_its_options_say_whom_a_flock_excludes(
    kind: str, options: str, reaches_all: bool
) -> None:
    assert Mount(kind, frozenset(options.split(","))).flock_reaches_all == reaches_all


def test_here_a_second_lock_is_refused(tmp_path: Path) -> None:
    assert flock_excludes(tmp_path / "not" / "there")
    assert mount_of(tmp_path).kind


def test_a_mount_without_locks_is_found_by_trying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "mount_of", lambda folder: Mount("nfs4", frozenset()))
    assert flock_holds(tmp_path)
    monkeypatch.setattr(fcntl, "flock", lambda file, how: None)  # local only, or not at all
    assert not flock_holds(tmp_path)

    def unsupported(file: object, how: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    assert not flock_holds(tmp_path)


def test_a_store_takes_the_kind_that_is_asked_for(tmp_path: Path) -> None:
    assert open_store(tmp_path, locks="flock").leases is None
    assert open_store(tmp_path, locks="lease").leases is not None
