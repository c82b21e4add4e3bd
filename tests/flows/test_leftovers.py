"""What a killed run leaves in Prefect is ended by the next; first runs do not mind each other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from flows import leftovers
from tests.conftest import ROOT

RUN = """
import json, os, signal, sys, time
from pathlib import Path
from settings.runtime import Runtime
from flows.prefect_home import prepare_prefect
prepare_prefect(Runtime(workspace=Path(sys.argv[1])))
from prefect import flow, get_client, runtime
from flows import leftovers

def states():
    with get_client(sync_client=True) as client:
        leftovers.end_flow_runs(client, runtime.flow_run.id)
        return sorted(run.state_name for run in client.read_flow_runs())

@flow
def study():
    found = states()
    if "killed" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    return found

begun = time.monotonic()
print(json.dumps([study(), time.monotonic() - begun]))
"""


def begin(workspace: Path, *words: str, **variables: str) -> subprocess.Popen[str]:
    """A flow as `rdpt run` starts one, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(workspace), *words],
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(run: subprocess.Popen[str]) -> tuple[list[str], float]:
    """States of all flow runs that its Prefect knows, and its seconds."""
    out, error = run.communicate(timeout=300)
    assert run.returncode == 0, error
    states, seconds = json.loads(out.splitlines()[-1])
    return states, seconds


def servers(workspace: Path) -> list[psutil.Process]:
    """Prefect's servers over a workspace that are alive."""
    found = []
    for process in psutil.process_iter():
        try:
            is_one = leftovers.SERVER in process.cmdline()
            if is_one and process.environ().get("PREFECT_HOME") == str(workspace / "prefect"):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.fault("F07", "F16")
def test_first_runs_meet_are_killed_and_what_they_leave_is_ended_by_the_next(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Two of one workspace and one of another start at once, with whatever profile the user has."""
    profile = tmp_path / "home" / ".prefect"
    profile.mkdir(parents=True)
    (profile / "profiles.toml").write_text(
        'active = "theirs"\n[profiles.theirs]\nPREFECT_HOME = "/nowhere"\n'
        'PREFECT_API_DATABASE_CONNECTION_URL = "sqlite+aiosqlite:////nowhere/x.db"\n'
    )
    one, other, home = tmp_path / "one", tmp_path / "other", str(tmp_path / "home")
    killed = [begin(one, "killed", HOME=home) for _ in range(2)]
    assert ended(begin(other, HOME=home))[0] == ["Running"]
    assert [run.wait(300) for run in killed] == [-signal.SIGKILL] * 2
    orphans = servers(one)
    assert len(orphans) == 2
    states, seconds = ended(begin(one, HOME=home))
    psutil.wait_procs(orphans, timeout=20)
    assert servers(one) == servers(other) == []
    assert states == ["Crashed", "Crashed", "Running"]
    assert [path.name for path in profile.iterdir()] == ["profiles.toml"]
    record_property("figure", f"2 of 2 servers ended, 2 of 2 runs crashed, {seconds:.0f} s")


@pytest.mark.fault("F07")
def test_f07_the_server_of_a_run_that_lives_is_left_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)", leftovers.SERVER]
    variables = {"PREFECT_HOME": str(tmp_path)}
    processes = [
        subprocess.Popen(command, env={**os.environ, **variables, leftovers.STARTED_BY: owner})
        for owner in (leftovers.this_process(), "elsewhere 1 0.00", f"{os.uname().nodename} 1 0.00")
    ]
    try:
        while any(leftovers.SERVER not in psutil.Process(p.pid).cmdline() for p in processes):
            time.sleep(0.01)
        leftovers.end_servers(tmp_path / "another")
        leftovers.end_servers(tmp_path)
        assert processes[2].wait(20) < 0
        assert [process.poll() for process in processes[:2]] == [None, None]
    finally:
        for process in processes:
            process.kill()
            process.wait()
