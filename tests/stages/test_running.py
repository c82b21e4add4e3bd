"""Runs are seen from outside while they go on, and known for dead when they were killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rdpt_core.store.parts import Store
from tasks.plan import Plan
from tasks.running import FOLDER, Activity, activities, announced, beating, nobody_runs
from tasks.worker import Worker
from tests.stages import toy_stages

KILLED = """
import sys, time
from pathlib import Path
from tasks.running import Activity, announced, beating
from tasks.worker import Watcher
place = Path(sys.argv[1])
with announced(place, "study"), beating(Watcher(), place, Activity("study", "t")):
    print("here", flush=True)
    time.sleep(60)
"""

FORKED = """
import os, sys
from pathlib import Path
from tasks.running import activities, announced
with announced(Path(sys.argv[1]), "study"):
    child = os.fork()
    if child == 0:
        sys.exit()
    os.waitpid(child, 0)
    print([lives for _, lives, _ in activities(Path(sys.argv[1]))])
"""


class Looking(toy_stages.Journal):
    """Looks at the workspace whenever a part is committed."""

    def __init__(self, workspace: Path) -> None:
        super().__init__()
        self.workspace = workspace
        self.seen: list[tuple[Activity, bool]] = []

    def started(self, *arguments: object) -> None:
        self.seen += [(activity, lives) for activity, lives, _ in activities(self.workspace)]


def test_a_table_in_the_making_is_seen_with_its_work_and_gone_when_it_ends(tmp_path: Path) -> None:
    problems, traces, *_ = toy_stages.chain_of(toy_stages.given(range(8)))
    toy_stages.build(tmp_path / "store", [problems])
    looking = Looking(tmp_path)
    activity = Activity("study", "traces train", traces.digest, "tokens")
    with beating(looking, tmp_path, activity) as watcher:
        Worker(Plan(Store(tmp_path / "store")), toy_stages.Options(), watcher).build(traces)
    (seen, lives) = looking.seen[0]
    assert lives
    assert (seen.title, seen.table, seen.items, seen.items_done) == (
        "traces train",
        traces.digest,
        16,
        0,
    )
    assert activity.items_done == 16
    assert len(looking.parts) == 4
    assert activities(tmp_path) == []


def test_a_table_that_fails_is_not_seen_any_more(tmp_path: Path) -> None:
    try:
        with beating(toy_stages.Journal(), tmp_path, Activity("study", "traces")):
            raise RuntimeError("of the test")
    except RuntimeError:
        assert activities(tmp_path) == []


def test_nothing_is_collected_under_a_run_and_the_next_may_begin(tmp_path: Path) -> None:
    with announced(tmp_path, "study"), announced(tmp_path, "other"), nobody_runs(tmp_path) as alone:
        assert not alone
    with nobody_runs(tmp_path) as alone:
        assert alone
    with announced(tmp_path, "study"):
        assert [(a.experiment, a.title, lives) for a, lives, _ in activities(tmp_path)] == [
            ("study", "", True)
        ]


@pytest.mark.fault("F07")
def test_what_a_killed_run_left_is_known_for_dead_and_holds_nobody_up(
    tmp_path: Path, root: Path
) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        run.stdout.readline()
        assert [lives for _, lives, _ in activities(tmp_path)] == [True, True]
        run.kill()
        run.wait()
    assert [(a.pid, lives) for a, lives, _ in activities(tmp_path)] == [(run.pid, False)] * 2
    with nobody_runs(tmp_path) as alone:
        assert alone


def test_a_forked_child_that_ends_does_not_end_the_run_of_its_parent(
    tmp_path: Path, root: Path
) -> None:
    """It unwinds the blocks that it inherited."""
    command = [sys.executable, "-c", FORKED, str(tmp_path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "[True]\n"


def test_a_torn_file_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "1-2.json").write_text('{"experiment": "stu')
    assert activities(tmp_path) == []
