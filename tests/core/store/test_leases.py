"""Leases: one holder on a board that all see, by nobody's clock but the waiter's own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from rdpt_core.store.leases import FolderBoard, Lease, Leases, parse

NAME = "grades/.leases/key"


@pytest.fixture
def board(tmp_path: Path) -> FolderBoard:
    return FolderBoard(tmp_path)


@pytest.fixture(autouse=True)
def no_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The clock of the machine may stand anywhere, and jump: nothing reads it."""

    def refuse() -> float:
        raise AssertionError("a lease reads the machine's clock")

    with monkeypatch.context() as patch:
        patch.setattr(time, "time", refuse)
        patch.setattr(time, "time_ns", refuse)
        yield


def killed(board: FolderBoard, place: str | None = None) -> Lease:
    """A lease whose holder gives no more sign of life."""
    lease = Lease(board, NAME, 1, place)
    assert board.create(lease.entry, lease.content())
    return lease


def test_a_lease_is_held_by_one_and_free_afterwards(board: FolderBoard) -> None:
    one, other = Leases(board), Leases(board)
    with one.hold(NAME) as first:
        assert first is not None
        assert first.is_mine()
        with other.hold(NAME) as second:
            assert second is None
    with other.hold(NAME) as second:
        assert second is not None
        assert second.number == 2
    assert board.entries(NAME) == ["2"]


def test_of_twenty_claimants_at_once_one_holds_it(board: FolderBoard) -> None:
    start, end = Barrier(20), Barrier(20)

    def claim(_: int) -> bool:
        leases = Leases(board)
        start.wait()
        with leases.hold(NAME) as lease:
            end.wait()
            return lease is not None

    for _ in range(5):
        with ThreadPoolExecutor(20) as threads:
            assert sum(threads.map(claim, range(20))) == 1


def test_twenty_claimants_of_a_dead_holders_lease_take_turns(board: FolderBoard) -> None:
    killed(board)
    inside = []

    def claim(number: int) -> None:
        with Leases(board, seconds=0.2).hold(NAME, wait=True):
            inside.append(number)
            assert inside == [number]
            inside.remove(number)

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(claim, range(20)))
    assert board.entries(NAME) == ["21"]


def test_a_holder_that_beats_is_never_taken_over(board: FolderBoard) -> None:
    waiter = Leases(board, seconds=0.3)
    with Leases(board, seconds=0.3).hold(NAME):
        end = time.monotonic() + 1
        while time.monotonic() < end:
            with waiter.hold(NAME) as taken:
                assert taken is None
            time.sleep(0.02)


def test_a_waiter_measures_by_its_own_monotonic_clock(
    board: FolderBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(board)
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    waiter = Leases(board, seconds=60)
    for now in (1000.0, 1030.0, 1060.0):
        with waiter.hold(NAME) as taken:
            assert taken is None, now
    now = 1060.1
    with waiter.hold(NAME) as taken:
        assert taken is not None
    newcomer = Leases(board, seconds=60)
    board.write(f"{NAME}/3", b"half an entry {")
    with newcomer.hold(NAME) as taken:
        assert taken is None  # it has not watched for a minute yet, however late it is


def test_a_holder_that_lost_its_lease_knows_it_and_frees_nothing(board: FolderBoard) -> None:
    with Leases(board, seconds=100).hold(NAME) as first:
        assert first is not None
        usurper = Lease(board, NAME, 2, None)
        assert board.create(usurper.entry, usurper.content())
        assert not first.is_mine()
    assert parse(board.read(usurper.entry))["free"] is False


def test_a_dead_process_of_the_same_place_is_not_waited_for(board: FolderBoard) -> None:
    killed(board, place="here")
    for place, is_free in (("there", False), (None, False), ("here", True)):
        with Leases(board, place=place).hold(NAME) as lease:
            assert (lease is not None) == is_free


def test_a_number_that_was_used_and_removed_is_not_claimed_again(
    board: FolderBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who read the list of entries long ago finds the number free, and gives it back."""
    present = Lease(board, NAME, 5, None)
    board.create(present.entry, present.content())
    looks = iter([["3"]])
    entries = FolderBoard.entries
    board.create(f"{NAME}/3", Lease(board, NAME, 3, None).content(is_free=True))
    monkeypatch.setattr(FolderBoard, "entries", lambda b, name: next(looks, entries(b, name)))
    with Leases(board).hold(NAME) as lease:
        assert lease is None
    assert set(board.entries(NAME)) == {"3", "5"}
