"""Parts in an object store: committed once, whoever builds them, and read through a cache."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from rdpt_core.store import integrity, objects
from rdpt_core.store.objects import Objects, StoreUnreachable
from rdpt_core.store.opening import open_store
from rdpt_core.store.parts import Conflict, Damaged, Store
from rdpt_core.tables.recipe import Recipe
from rdpt_core.tables.rows import Grade, Outcome
from tests.core.store.object_server import names, serving
from tests.stages import toy_stages

ROOT = Path(__file__).resolve().parents[3]
RECIPE = Recipe("grades", 1, {"remote": True}, {})
KEY = RECIPE.key
_numbers = count()

Open = Callable[[str], Store]
"""Opens the store from a workspace of that name."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.fixture
def address(server: str) -> str:
    return f"{server}/{next(_numbers)}"


@pytest.fixture
def machine(address: str, tmp_path: Path) -> Open:
    return lambda name: open_store(tmp_path / name, address=address, lease_seconds=1.0)


def grades(outcome: Outcome = Outcome.CORRECT) -> list[Grade]:
    return [Grade(f"trace{n}", outcome, None) for n in range(3)]


def commit(store: Store, outcome: Outcome = Outcome.CORRECT, payload: Path | None = None) -> None:
    with store.lock("grades", KEY) as mine:
        assert mine
        store.commit(Grade, RECIPE, grades(outcome), payload=payload)


def started(work: str, address: str, folder: Path) -> subprocess.Popen[bytes]:
    """A process of its own that does `work`; obstore does not survive a fork."""
    call = "import sys; from tests.core.store import test_remote as t; "
    call += "getattr(t, sys.argv[1])(*sys.argv[2:])"
    command = [sys.executable, "-c", call, work, address, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)


def die_at_the_record(address: str, folder: str) -> None:
    create = Objects.create

    def stop(self: Objects, name: str, content: bytes) -> bool:
        if name.startswith("records/"):
            os.kill(os.getpid(), signal.SIGKILL)
        return create(self, name, content)

    Objects.create = stop  # type: ignore[method-assign]
    commit(open_store(Path(folder), address=address, lease_seconds=1.0))


def hold(address: str, folder: str) -> None:
    with open_store(Path(folder), address=address, lease_seconds=600).lock("grades", KEY):
        print("held", flush=True)
        time.sleep(60)


def test_a_second_empty_workspace_repeats_no_part_and_reads_equal_rows(machine: Open) -> None:
    tables = toy_stages.chain_of(toy_stages.given(range(8)))
    first = toy_stages.build(machine("one"), tables)
    assert len(first.parts) == 13
    other = machine("two")
    assert toy_stages.build(other, tables).parts == []
    for table in ("traces", "grades", "sentences", "selection"):
        parts = {r.part.key: r for r in machine("one").records(table)}
        found = {r.part.key: r for r in other.records(table)}
        assert parts == found
        assert parts
        for record in parts.values():
            files = [machine(name).sound_file(record.part) for name in ("one", "two")]
            assert files[0].read_bytes() == files[1].read_bytes()


def test_a_part_is_fetched_when_it_is_read(machine: Open) -> None:
    commit(machine("one"))
    other = machine("two")
    part = other.find("grades", KEY)
    assert part is not None
    assert not list(other.root.rglob("*.parquet"))
    assert other.rows(Grade, part) == grades()
    assert [path.name for path in other.root.rglob("*.parquet")] == [f"{KEY}.parquet"]


def test_a_payload_is_fetched_file_by_file(machine: Open, tmp_path: Path) -> None:
    payload = tmp_path / "payload"
    (payload / "deep").mkdir(parents=True)
    (payload / "preview.txt").write_text("a preview")
    (payload / "deep" / "weights").write_bytes(b"0123456789" * 1000)
    commit(machine("one"), payload=payload)
    other = machine("two")
    part = other.find("grades", KEY)
    assert part is not None
    preview = other.payload_file(part, "preview.txt")
    assert preview is not None
    assert preview.read_text() == "a preview"
    assert not list(other.root.rglob("weights"))
    other.file(part)
    assert other.find("grades", KEY) == part  # with only some of its payload here
    assert list(integrity.damages(other, lambda num_read: None)) == []
    weights = other.payload(part) / "deep" / "weights"
    assert weights.read_bytes() == b"0123456789" * 1000


def test_one_of_twenty_claimants_builds_a_part(machine: Open) -> None:
    def claim(number: int) -> bool:
        with machine(f"machine{number}").lock("grades", KEY) as mine:
            time.sleep(0.3)
            return mine

    with ThreadPoolExecutor(20) as threads:
        assert sum(threads.map(claim, range(20))) == 1


@pytest.mark.parametrize("outcome", [Outcome.CORRECT, Outcome.WRONG])
def test_of_two_commits_the_first_counts(machine: Open, outcome: Outcome) -> None:
    """The late one has equal rows, which is harmless, or others, which are refused."""
    late, first = machine("late"), machine("first")
    with late.lock("grades", KEY) as mine:
        assert mine
        committed = first.commit(Grade, RECIPE, grades(), seconds=1.0)
        if outcome is Outcome.CORRECT:
            assert late.commit(Grade, RECIPE, grades(), seconds=2.0) == committed
        else:
            with pytest.raises(Conflict, match="with other rows"):
                late.commit(Grade, RECIPE, grades(outcome))
    for name in ("late", "first", "third"):
        part = machine(name).find("grades", KEY)
        assert part == committed
        assert machine(name).rows(Grade, part) == grades()


def test_a_machine_killed_between_file_and_record_leaves_no_part(
    machine: Open, address: str, tmp_path: Path
) -> None:
    worker = started("die_at_the_record", address, tmp_path / "one")
    assert worker.wait(60) == -signal.SIGKILL
    other = machine("two")
    assert other.remote is not None
    assert len(names(other.remote.objects, "files")) == 1
    assert other.find("grades", KEY) is None
    with other.lock("grades", KEY, wait=True):  # once the lease has run out
        other.commit(Grade, RECIPE, grades())
    part = machine("one").find("grades", KEY)
    assert part is not None
    assert machine("one").rows(Grade, part) == grades()
    assert len(names(other.remote.objects, "files")) == 1


def test_a_dead_process_of_this_workspace_is_not_waited_for(address: str, tmp_path: Path) -> None:
    def patient() -> Store:
        return open_store(tmp_path / "one", address=address, lease_seconds=600)

    worker = started("hold", address, tmp_path / "one")
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"held\n"
    with patient().lock("grades", KEY) as mine:
        assert not mine
    worker.kill()
    worker.communicate()
    with open_store(tmp_path / "two", address=address).lock("grades", KEY) as mine:
        assert not mine
    with patient().lock("grades", KEY) as mine:
        assert mine


def test_a_damaged_cache_is_fetched_again(machine: Open) -> None:
    store = machine("one")
    commit(store)
    part = store.find("grades", KEY)
    assert part is not None
    store.file(part).write_bytes(b"shorter")
    assert store.find("grades", KEY) == part
    assert store.rows(Grade, part) == grades()
    content = bytearray(store.file(part).read_bytes())
    content[100] ^= 1
    store.file(part).write_bytes(content)
    with pytest.raises(Damaged):
        store.rows(Grade, part)
    assert store.find("grades", KEY) == part  # the walk starts over, and finds it
    assert store.rows(Grade, part) == grades()


def test_a_part_whose_object_is_damaged_is_built_again(machine: Open) -> None:
    commit(machine("one"))
    other = machine("two")
    assert other.remote is not None
    (name,) = names(other.remote.objects, "files")
    other.remote.objects.write(name, b"other bytes")
    part = other.find("grades", KEY)
    assert part is not None
    with pytest.raises(Damaged):
        other.rows(Grade, part)
    assert other.find("grades", KEY) is None
    commit(other)
    third = machine("three")
    assert third.rows(Grade, part) == grades()


def test_a_server_that_is_away_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("obstore")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(objects, "RETRY_SECONDS", 0)
    store = open_store(tmp_path, address="s3://bucket/away")
    with pytest.raises(StoreUnreachable, match=r"s3://bucket/away failed at .*AWS_ENDPOINT_URL"):
        store.find("grades", KEY)


def test_no_secret_reaches_the_objects_or_the_cache(machine: Open) -> None:
    store = machine("one")
    commit(store)
    files = [path.read_bytes() for path in store.root.rglob("*") if path.is_file()]
    assert store.remote is not None
    kept = store.remote.objects
    files += [kept.read(name) or b"" for name in names(kept, "")]
    assert not [content for content in files if b"a secret of somebody" in content]
