"""Workers outside the flow on tiny models: equal parts, kills, ends, and what a run is told."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from flows.runners import runner_of
from flows.titles import jobs_of
from flows.workspace import Opened, freeze, open_file
from rdpt_core.machine.environment import worker_environment
from settings.runtime import Runtime, variables
from tasks.plan import Plan
from tasks.progress import TableProgress
from tasks.running import activities
from tasks.worker import Watcher, Worker
from tasks.workers.processes import Processes
from tasks.workers.runner import Hired
from tests.core.models import tiny
from tests.flows.example_experiments import Studio, head

TEXT = (
    head("study", student='source = "import"\ndistilled = "distilled"', part_size=8)
    + """
[[benchmarks]]
name = "bench"
problems = { source = "file", path = "bench.jsonl" }
traces = { source = "generate", samples = 2, sampling = { max_new_tokens = 6, batch_size = 4 } }
"""
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models and problems for a study that trains nothing."""
    made = tmp_path_factory.mktemp("workers")
    for seed, name in enumerate(("teacher", "student", "distilled")):
        tiny.make_qwen(made / name, seed=seed)
    Studio(made).write_problems("bench", range(24))
    (made / "study.toml").write_text(TEXT)
    return made


@pytest.fixture(scope="module")
def golden(folder: Path) -> dict[str, list[str]]:
    """What one worker makes in this process."""
    opened = opened_in(folder, "golden")
    for table in opened.study.tables():
        Worker(opened.plan, opened.runtime, Watcher()).build(table)
    return contents(opened)


def opened_in(folder: Path, workspace: str, **settings: object) -> Opened:
    found = {"workspace": folder / workspace, "threads": 1, "workers": 1, "device": "cpu"}
    return open_file(folder / "study.toml", Runtime.model_validate(found | settings))


def contents(opened: Opened) -> dict[str, list[str]]:
    plan = Plan(opened.store)
    found: dict[str, list[str]] = {}
    for table in opened.study.tables():
        state = plan.state(table)
        assert state.complete, table.name
        found.setdefault(table.name, []).extend(part.content for part in state.parts)
    return found


def worker(opened: Opened, *arguments: str) -> subprocess.Popen[bytes]:
    """`rdpt work` in a process of its own, as a person starts it."""
    command = [sys.executable, "-P", "-m", "flows.cli", "work", *arguments]
    settings = {**worker_environment(), **variables(opened.runtime)}
    return subprocess.Popen(command, env=settings, stderr=subprocess.PIPE)


def until(holds: Callable[[], object], seconds: float = 60.0) -> None:
    over = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < over
        time.sleep(0.05)


def test_two_worker_processes_make_the_parts_of_one_worker(
    folder: Path, golden: dict[str, list[str]]
) -> None:
    opened = opened_in(folder, "processes", runner="processes", workers=2)
    freeze(opened)
    with runner_of(opened) as runner:
        for job in jobs_of(opened.study):
            runner.build(job, TableProgress(job.title, job.unit, quiet=True))
        assert isinstance(runner, Hired)
        crew = runner.crew
        assert isinstance(crew, Processes)
        pids = {one.pid for one in crew.workers.values()}
    assert contents(opened) == golden
    assert not any(psutil.pid_exists(pid) for pid in pids)
    logs = [crew.log(number).read_text() for number in (0, 1)]
    assert all("traces" in log or "scores" in log for log in logs), "one of them had all the work"


@pytest.mark.fault("F01")
def test_workers_of_their_own_take_what_a_killed_one_left(
    folder: Path, golden: dict[str, list[str]]
) -> None:
    opened = opened_in(folder, "killed")
    with worker(opened, str(opened.file)) as first:
        until(
            lambda: any(
                a.title.startswith("scores") for a, _, _ in activities(opened.runtime.workspace)
            )
        )
        first.kill()
    with worker(opened, opened.experiment.name) as second:  # which the first has frozen
        assert b"nothing is left to build" in second.communicate(timeout=60)[1]
        assert second.returncode == 0
    assert contents(opened) == golden


def test_a_worker_that_is_stopped_ends_at_once_with_its_code(folder: Path) -> None:
    opened = opened_in(folder, "stopped")
    with worker(opened, str(opened.file)) as first:
        until(lambda: activities(opened.runtime.workspace))
        first.terminate()
        begun = time.monotonic()
        assert first.wait(10) == 143
        assert time.monotonic() - begun < 10


def test_a_worker_names_the_table_that_failed_and_ends_with_its_code(folder: Path) -> None:
    opened = opened_in(folder, "failed")
    freeze(opened)
    (folder / "failed" / "store").mkdir(parents=True)
    (folder / "failed" / "store" / "traces").write_text("in the way")
    with worker(opened, "study") as first:
        said = first.communicate(timeout=60)[1].decode()
    assert first.returncode == 1
    assert "failed: traces" in said
