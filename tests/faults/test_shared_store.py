"""Two machines on one store: each worker has a home, a host name and mounts of its own, and keeps
others out by a lease. One is stopped for longer than its lease, and wakes up.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from rdpt_core.store.opening import open_store
from rdpt_core.store.parts import Conflict, LeaseLost, Store
from rdpt_core.tables.recipe import Recipe
from rdpt_core.tables.rows import Grade, Outcome

SECONDS = 1.0
RECIPE = Recipe("grades", 1, {"shared": True}, {})
ALONE = ["unshare", "--user", "--map-root-user", "--uts", "--mount", "--net"]
ROOT = Path(__file__).resolve().parents[2]


def grades(outcome: Outcome = Outcome.CORRECT) -> list[Grade]:
    return [Grade(f"trace{n}", outcome, None) for n in range(3)]


def open_shared(folder: Path) -> Store:
    return open_store(folder, locks="lease", lease_seconds=SECONDS)


def main(store: str, name: str, outcome: str) -> None:
    """A worker process: builds the part, and waits in the middle where it is asked to."""
    folder = Path(store)
    build(folder, open_shared(folder), name, Outcome(outcome))


def build(folder: Path, store: Store, name: str, outcome: Outcome) -> None:
    with store.lock("grades", RECIPE.key, wait=True) as mine:
        assert mine
        (folder / f"{name}.begun").touch()
        while (folder / f"{name}.pause").exists():
            time.sleep(0.02)
        try:
            part = store.commit(Grade, RECIPE, grades(outcome))
        except (Conflict, LeaseLost) as error:
            print(type(error).__name__, error, flush=True)
            return
        print("committed", part.content, flush=True)


@dataclass
class Machine:
    """A worker process that believes itself on a host of its own."""

    process: subprocess.Popen[str]
    flag: Path

    def wait_begun(self) -> None:
        end = time.monotonic() + 30
        while not self.flag.with_suffix(".begun").exists():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end
            time.sleep(0.02)

    def resume(self) -> str:
        self.flag.with_suffix(".pause").unlink()
        return self.said()

    def said(self) -> str:
        out, err = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, err
        return out.strip()


@dataclass
class Machines:
    store: Path
    homes: Path

    def start(self, name: str, outcome: Outcome = Outcome.CORRECT, pauses: bool = False) -> Machine:
        home, flag = self.homes / name, self.store / name
        home.mkdir()
        if pauses:
            flag.with_suffix(".pause").touch()
        call = "import sys; from tests.faults import test_shared_store as t; t.main(*sys.argv[1:])"
        inside = 'hostname "$1" && shift && exec "$@"'
        worker = [sys.executable, "-c", call, str(self.store), name, outcome.value]
        process = subprocess.Popen(
            [*ALONE, "sh", "-c", inside, "sh", name, *worker],
            cwd=ROOT,
            env={**os.environ, "HOME": str(home), "TMPDIR": str(home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return Machine(process, flag)


@pytest.fixture
def machines(tmp_path: Path) -> Machines:
    if not shutil.which("unshare") or subprocess.run([*ALONE, "true"], check=False).returncode:
        pytest.skip("this machine makes no namespaces (unshare --user --uts --mount --net)")
    store, homes = tmp_path / "store", tmp_path / "homes"
    store.mkdir()
    homes.mkdir()
    return Machines(store, homes)


@pytest.mark.parametrize("outcome", [Outcome.CORRECT, Outcome.WRONG])
def test_a_holder_that_wakes_up_after_its_lease_harms_nothing(
    machines: Machines, outcome: Outcome
) -> None:
    """Its commit of equal rows is harmless, of other rows is refused."""
    first = machines.start("first", outcome, pauses=True)
    first.wait_begun()
    store = open_shared(machines.store)
    holder = store.holder("grades", RECIPE.key)
    assert holder is not None
    assert holder.host == "first"
    first.process.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    second = machines.start("second")
    said = second.said()
    assert said.startswith("committed")
    assert time.monotonic() - begun >= SECONDS
    record = store.record("grades", RECIPE.key)
    first.process.send_signal(signal.SIGCONT)
    late = first.resume()
    if outcome is Outcome.CORRECT:
        assert late == said
    else:
        assert late.startswith("Conflict")
        assert "with other rows" in late
    assert store.record("grades", RECIPE.key) == record
    part = store.find("grades", RECIPE.key)
    assert part is not None
    assert store.rows(Grade, part) == grades()


def test_a_holder_that_wakes_up_before_the_next_commit_leaves_it_the_part(
    machines: Machines,
) -> None:
    first = machines.start("first", pauses=True)
    first.wait_begun()
    first.process.send_signal(signal.SIGSTOP)
    second = machines.start("second", pauses=True)
    second.wait_begun()
    first.process.send_signal(signal.SIGCONT)
    late = first.resume()
    assert late.startswith("LeaseLost")
    assert "is being built by another process" in late
    assert second.resume().startswith("committed")


def test_a_killed_holders_part_is_built_after_its_lease(machines: Machines) -> None:
    first = machines.start("first", pauses=True)
    first.wait_begun()
    first.process.kill()
    assert machines.start("second").said().startswith("committed")
    first.process.communicate()


def test_a_record_that_came_between_check_and_commit_counts(tmp_path: Path) -> None:
    """The last moment: the lease was still held when it was looked at."""
    late, other = open_shared(tmp_path), open_shared(tmp_path)
    with late.lock("grades", RECIPE.key) as mine:
        assert mine
        committed = other.commit(Grade, RECIPE, grades())
        assert late.commit(Grade, RECIPE, grades()).content == committed.content
        with pytest.raises(Conflict, match="with other rows"):
            late.commit(Grade, RECIPE, grades(Outcome.WRONG))
    part = other.find("grades", RECIPE.key)
    assert part is not None
    assert other.rows(Grade, part) == grades()
