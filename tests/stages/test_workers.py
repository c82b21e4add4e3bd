"""Workers outside the flow, on toy stages and toy processes: who builds what, who ends when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from rdpt_core.machine.resources import OutOfMemory
from rdpt_core.models.serving.http import Unreachable
from rdpt_core.store.parts import Damaged, Store
from rdpt_core.tables.rows import Problem, Trace
from tasks.plan import Plan
from tasks.stage import Table, stage
from tasks.workers import loop, processes
from tasks.workers.failures import Failures
from tasks.workers.loop import Job, Loop
from tasks.workers.processes import Processes
from tests.stages import toy_stages
from tests.stages.toy_stages import Options, chain_of, given

NAME = "toys"


@dataclass
class Machine(Options):
    workspace: Path = Path()


@dataclass(frozen=True)
class Toy:
    """A model that writes down when it is used."""

    style: str
    used: list[str]
    has_weights: bool = True

    def identity(self) -> str:
        return self.style

    def parts_at_once(self, runtime: Any) -> int:
        return 1


@stage("traces", version=1, row=Trace, over="problems")
def speak(problems: list[Problem], model: Toy) -> Iterator[Trace]:
    model.used.append(model.style)
    yield from toy_stages.write.function(problems, 0, model.style)


@dataclass
class Errors:
    """What a stage raises, each time that it is called."""

    error: Exception
    count: int = 0

    def identity(self) -> str:
        return "errors"


@stage("traces", version=1, row=Trace, over="problems")
def fail(problems: list[Problem], errors: Errors) -> Iterator[Trace]:
    errors.count += 1
    raise errors.error


def worker(folder: Path, tables: list[Table], **how: Any) -> Loop:
    """A worker with its own view of the store."""
    jobs = [Job(table, f"{table.name} {n}", "rows") for n, table in enumerate(tables)]
    plan = Plan(Store(folder / "store"))
    return Loop(NAME, jobs, plan, Machine(workspace=folder), Failures(folder, NAME), **how)


def test_a_worker_alone_builds_everything_and_ends(tmp_path: Path) -> None:
    tables = chain_of(given(range(8)))
    assert worker(tmp_path, tables).run() == []
    assert all(Plan(Store(tmp_path / "store")).state(table).complete for table in tables)


def test_workers_share_the_parts_and_none_is_made_twice(tmp_path: Path) -> None:
    used: list[str] = []
    problems = given(range(32), block=2)
    problems.read(Store(tmp_path / "store"))  # real sources take a lock for it
    tables: list[Table] = [problems, speak(problems=problems, model=Toy("a", used))]
    workers = [worker(tmp_path, tables) for _ in range(4)]
    threads = [threading.Thread(target=each.run) for each in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(used) == 16


def test_a_worker_finishes_the_work_of_its_model_before_it_loads_another(tmp_path: Path) -> None:
    used: list[str] = []
    first, second = given(range(4)), given(range(4, 8))
    a, b = Toy("a", used), Toy("b", used)
    tables: list[Table] = [
        first,
        speak(problems=first, model=a),
        speak(problems=first, model=b),
        second,
        speak(problems=second, model=a),
        speak(problems=second, model=b),
    ]
    worker(tmp_path, tables).run()
    assert used == ["a", "a", "b", "b"]


def test_a_failed_table_is_left_by_the_others_until_all_are_gone(tmp_path: Path) -> None:
    problems, errors = given(range(4)), Errors(ValueError("of the test"))
    failing = fail(problems=problems, errors=errors)
    tables: list[Table] = [problems, failing, toy_stages.check(problems=problems, traces=failing)]
    first, second = worker(tmp_path, tables), worker(tmp_path, tables)
    with first.failures.joined():
        (failure,) = first.run()
        with second.failures.joined():
            assert [found.title for found in second.run()] == [failure.title] == ["traces 1"]
    assert errors.count == 1
    assert isinstance(failure.error, ValueError)
    with second.failures.joined():
        assert second.run()[0].title == "traces 1"
    assert errors.count == 2, "a later worker tries again"


@pytest.mark.parametrize("error", [Damaged("a part"), Unreachable("a server")])
def test_a_table_that_may_work_the_next_time_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(loop, "RETRY_SECONDS", 0.0)
    problems, errors = given(range(4)), Errors(error)
    (failure,) = worker(tmp_path, [problems, fail(problems=problems, errors=errors)]).run()
    assert errors.count == loop.MAX_ATTEMPTS
    assert isinstance(failure.error, Damaged | ConnectionError)


def test_a_failure_nobody_can_be_told_of_ends_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError("a full disk")

    monkeypatch.setattr(Failures, "add", full)
    problems, errors = given(range(4)), Errors(MemoryError("of the test"))
    with pytest.raises(MemoryError, match="of the test"):
        worker(tmp_path, [problems, fail(problems=problems, errors=errors)]).run()


def test_a_worker_of_a_run_leaves_sources_to_it(tmp_path: Path) -> None:
    tables = chain_of(given(range(8)))
    attached = threading.Thread(
        target=worker(tmp_path, tables, reads_sources=False).run, daemon=True
    )
    attached.start()
    time.sleep(0.1)
    assert not (tmp_path / "store" / "traces").exists()
    tables[0].read(Store(tmp_path / "store"))
    attached.join(20)
    assert Plan(Store(tmp_path / "store")).state(tables[-1]).complete


# ---------------------------------------------------------------------------- processes


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Processes]:
    """Four workers with nothing to do."""
    made = Processes(["tests.stages.patient_worker"], 4, {}, tmp_path, NAME)
    made.start()
    yield made
    made.end()


def until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    over = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < over
        time.sleep(0.02)


def kill(crew: Processes, number: int) -> None:
    crew.workers[number].kill()
    crew.workers[number].wait()


@pytest.mark.fault("F26")
def test_after_a_kill_half_the_workers_go_on_and_after_another_the_run_ends(
    crew: Processes,
) -> None:
    killed = crew.workers[1].pid
    kill(crew, 1)
    crew.check()
    assert sorted(crew.workers) == [0, 2]
    kill(crew, 2)
    for _ in range(2):  # every table that waits is told
        with pytest.raises(OutOfMemory, match=r"worker 2 .*RDPT_WORKERS.*toys-worker-2\.log"):
            crew.check()
    assert not psutil.pid_exists(killed)


def test_the_last_worker_that_is_killed_has_one_successor(tmp_path: Path) -> None:
    crew = Processes(["tests.stages.patient_worker"], 1, {}, tmp_path, NAME)
    crew.start()
    kill(crew, 0)
    crew.check()
    assert crew.workers[0].poll() is None
    crew.end()


def test_workers_that_end_again_and_again_are_not_started_for_ever(tmp_path: Path) -> None:
    crew = Processes(["no_such_module"], 1, {}, tmp_path, NAME)
    crew.start()
    for _ in range(processes.MOST_STARTS - 1):
        crew.workers[0].wait()
        crew.check()
    crew.workers[0].wait()
    with pytest.raises(RuntimeError, match=r"toys-worker-0\.log"):
        crew.check()
    assert "no_such_module" in crew.log(0).read_text()


def test_a_crew_that_is_ended_leaves_nobody_even_where_one_does_not_listen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "PATIENCE_SECONDS", 0.2)
    crew = Processes(["tests.stages.patient_worker"], 1, {}, tmp_path, NAME)
    crew.start()
    pid = crew.workers[0].pid
    os.kill(pid, signal.SIGSTOP)
    crew.end()
    assert not psutil.pid_exists(pid)


def test_each_worker_has_one_of_the_devices(tmp_path: Path) -> None:
    crew = Processes(["tests.stages.patient_worker"], 3, {}, tmp_path, NAME, ["4", "6"])
    crew.start()
    found = [psutil.Process(w.pid).environ()[processes.DEVICES] for w in crew.workers.values()]
    crew.end()
    assert found == ["4", "6", "4"]


KILLED = """
import sys, time
from pathlib import Path
from tasks.workers.processes import Processes

crew = Processes(["tests.stages.patient_worker"], 1, {}, Path(sys.argv[1]), "toys")
crew.start()
print(crew.workers[0].pid, flush=True)
time.sleep(60)
"""


def test_workers_end_when_their_run_is_killed(tmp_path: Path, root: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        run.kill()
    until(lambda: not psutil.pid_exists(pid), processes.PATIENCE_SECONDS + 2)
