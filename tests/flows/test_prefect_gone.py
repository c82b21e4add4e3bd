"""F18: Prefect's server dies in the middle of a run: exit 5, and what is finished stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rdpt_core.store.parts import Store
from tests.conftest import ROOT
from tests.core.models import tiny
from tests.flows.example_experiments import PLAIN, STUDY, Studio

RUN = """
import sys
from pathlib import Path
import psutil
from settings.runtime import Runtime
from flows import leftovers
from flows.prefect_home import prepare_prefect
from flows.workspace import open_file
runtime = Runtime(workspace=Path("workspace"), threads=1, tracking="off", workers=1)
prepare_prefect(runtime)
from flows.commands.run import _build
from tasks.worker import Worker

build = Worker.build

def kills(worker, one):
    for child in psutil.Process().children(recursive=True) if one.name == "grades" else ():
        if leftovers.SERVER in child.cmdline():
            child.kill()
    build(worker, one)

Worker.build = kills
sys.exit(_build(open_file(Path("study.toml"), runtime)))
"""


@pytest.mark.fault("F07", "F18")
def test_f18_a_server_that_dies_midway_ends_the_run_which_keeps_what_it_made(
    tmp_path: Path,
) -> None:
    """Prefect's client asks five times more by default, with growing waits: a minute or two. Not at
    all is too little: a server whose database is busy answers 503."""
    studio = Studio(tmp_path)
    for seed, name in enumerate(("teacher", "student")):
        tiny.make_qwen(tmp_path / name, seed=seed)
    studio.write_problems("problems", range(8))
    (tmp_path / "study.toml").write_text(STUDY.format(**(PLAIN | {"limit": 8, "benchmarks": ""})))
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PREFECT_CLIENT_MAX_RETRIES": "2"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 5, done.stderr
    assert "Prefect's server stopped answering" in done.stderr
    assert "resume with: rdpt resume study" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(list(Store(tmp_path / "workspace" / "store").records("traces"))) > 0
