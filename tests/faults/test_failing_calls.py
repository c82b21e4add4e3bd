"""Any call that writes may fail, in any command: a documented exit, and the next run is whole.

`python -m tests.faults.failing_calls` lets every call fail; here are some of each command.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rdpt_core.store.parts import Store
from tests.conftest import ROOT
from tests.core.models import tiny
from tests.faults import failing_calls
from tests.flows.example_experiments import Studio

SOURCE = Path(__file__).with_name("failing_calls.c")
COMMANDS = ("toy", "run", "gc", "verify", "export")
"""`sync`, which takes seconds for each call, is tried by hand."""
SAMPLES = 2


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler on this machine: the calls are made to fail below Python")
    path = tmp_path_factory.mktemp("shim") / "shim.so"
    command = [compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(path), str(SOURCE)]
    subprocess.run([*command, "-ldl"], check=True)
    return path


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each command, ready for it: nothing built, something to collect, something
    damaged, something to write."""
    folder = tmp_path_factory.mktemp("studies")
    (folder / "toy").mkdir()
    (folder / "run").mkdir()
    studio = Studio(folder / "run")
    for seed, name in enumerate(("teacher", "student")):
        tiny.make_qwen(studio.folder / name, seed=seed)
    studio.write_problems("problems", range(6))
    studio.write_problems("bench", range(100, 104))
    studio.open()
    shutil.copytree(folder / "run", folder / "export")
    _build(folder / "export")
    for name in ("gc", "verify"):
        shutil.copytree(folder / "export", folder / name)
    file = folder / "gc" / "study.toml"
    file.write_text(file.read_text().replace("beta = 0.1", "beta = 0.2"))
    _build(folder / "gc")
    store = Store(folder / "verify" / "workspace" / "store")
    part = next(store.records("grades")).part
    store.file(part).write_bytes(store.file(part).read_bytes()[:-9])
    return folder


def _build(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert failing_calls.run() == 0


@pytest.fixture(scope="module")
def outcomes(shim: Path, studies: Path) -> dict[str, list[dict[str, Any]]]:
    """By command."""
    options = [*COMMANDS, "--samples", str(SAMPLES), "--errors", "ENOSPC", "EIO"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.failing_calls", str(studies), *options],
        cwd=ROOT,
        env=os.environ | {"LD_PRELOAD": str(shim), "RDPT_GC_GRACE_DAYS": "0", "RDPT_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[dict[str, Any]]] = {}
    for line in done.stdout.splitlines():
        one = json.loads(line)
        found.setdefault(one["command"], []).append(one)
    return found


@pytest.mark.fault("F09")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_call_that_fails_ends_a_command_plainly_and_the_next_one_is_whole(
    outcomes: dict[str, list[dict[str, Any]]],
    command: str,
    record_property: Callable[[str, object], None],
) -> None:
    found = outcomes[command]
    assert len(found) == 2 * SAMPLES
    for one in found:
        case = (one["error"], one["k"], one["said"], one["said_again"])
        assert one["code"] in ({0, 7} if one["error"] == "ENOSPC" else {0, 1}), case
        assert "Traceback" not in one["said"], case
        assert (one["again"], one["left"]) == (0, []), case
        assert one["contents"] == found[0]["contents"], case
    assert sum(one["code"] != 0 for one in found) >= SAMPLES, "the calls did fail"
    record_property("figure", f"{command}: {len(found)} of {found[0]['total']} calls")
