"""Locks: held by one, shared by many, free when their holder dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from rdpt_core.store.locks import exclusive, hold, is_held, shared


def started(work: Callable[[Path], None], path: Path) -> BaseProcess:
    """A process that has come to `ready` in its work."""
    process = multiprocessing.get_context("fork").Process(target=work, args=(path,), daemon=True)
    process.start()
    while not path.with_suffix(".ready").exists():
        time.sleep(0.01)
    return process


def ready(path: Path) -> None:
    path.with_suffix(".ready").touch()
    time.sleep(60)


def hold_alone(path: Path) -> None:
    with exclusive(path):
        ready(path)


def hold_alone_with_a_child(path: Path) -> None:
    with exclusive(path):
        if not os.fork():
            time.sleep(3)
            os._exit(0)
        ready(path)


def hold_shared(path: Path) -> None:
    with shared(path):
        ready(path)


def hold_open(path: Path) -> None:
    with path.open("xb") as file:
        hold(file)
        ready(path)


@pytest.mark.fault("F15")
def test_a_second_holder_waits_as_long_as_it_is_told_to(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lock"
    with exclusive(path) as first, exclusive(path, patience=0) as second:
        assert (first, second) == (True, False)
    begun = time.monotonic()
    with exclusive(path), exclusive(path, patience=0.3) as second:
        assert not second
    assert time.monotonic() - begun >= 0.3
    with exclusive(path) as again:
        assert again


@pytest.mark.fault("F15")
@pytest.mark.parametrize("work", [hold_alone, hold_alone_with_a_child, hold_shared])
def test_the_lock_of_a_killed_holder_is_free(tmp_path: Path, work: Callable[[Path], None]) -> None:
    holder = started(work, tmp_path / "lock")
    with exclusive(tmp_path / "lock", patience=0) as mine:
        assert not mine
    os.kill(holder.pid or 0, signal.SIGKILL)
    with exclusive(tmp_path / "lock", patience=5) as mine:
        assert mine
    holder.join()


def test_sharers_meet_and_keep_out_who_wants_it_alone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with shared(path):
        with shared(path), exclusive(path, patience=0) as mine:
            assert not mine
        with exclusive(path, patience=0) as mine:
            assert not mine
    with exclusive(path, patience=0) as mine:
        assert mine


def test_a_look_sees_a_live_holder_and_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "beat"
    holder = started(hold_open, path)
    with path.open("rb") as one, path.open("rb") as other:
        assert is_held(one)
        os.kill(holder.pid or 0, signal.SIGKILL)
        holder.join()
        assert not is_held(one)
        assert not is_held(other)
    with exclusive(path, patience=0) as mine:
        assert mine
