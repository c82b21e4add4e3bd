"""A full disk and a folder that may not be written: said plainly, and nothing is lost."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from flows import faults
from flows.checks import check_room, check_workspace
from rdpt_core.store import POINTS, FaultPoint, Store
from settings.loading import BadSettings
from tasks.stage import Plan, Worker
from tests.stages import toys

TABLES = ("traces", "sentences", "selection")


def build(root: Path, reached: FaultPoint = lambda table, point: None) -> None:
    store = Store(root, reached)
    for call in toys.chain_of(toys.given(range(12))):
        if not Plan(store).table(call).complete:
            Worker(store, toys.Options(), toys.Journal()).build(call)


def contents(root: Path) -> list[list[str]]:
    plan = Plan(Store(root))
    calls = toys.chain_of(toys.given(range(12)))
    return [[part.content for part in plan.table(call).parts] for call in calls]


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    root = tmp_path_factory.mktemp("golden")
    build(root)
    return contents(root)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("table", TABLES)
def test_a_write_that_fails_leaves_nothing_half_written(
    tmp_path: Path, golden: list[list[str]], table: str, point: str, number: int
) -> None:
    def fail(at_table: str, at_point: str) -> None:
        if (at_table, at_point) == (table, point):
            raise OSError(number, os.strerror(number), table)

    with pytest.raises(OSError, match=os.strerror(number)) as error:
        build(tmp_path, fail)
    assert faults.code_of(error.value) == (7 if number == errno.ENOSPC else 1)
    assert not list(tmp_path.rglob("*.tmp"))
    build(tmp_path)
    assert contents(tmp_path) == golden


def fill(root: Path) -> None:
    """In a namespace of its own, where `root` is a file system of 256 kB that grows later."""
    codes = []
    for attempt in (check_room, build):
        try:
            attempt(root)
        except OSError as error:
            codes.append(faults.explain(error))
    torn = [path.name for path in root.rglob("*.tmp")]
    num_parts = len(list(root.rglob("*.parquet")))
    os.sync()
    subprocess.run(["mount", "-o", "remount,size=32m", str(root)], check=True)
    build(root)
    sys.stdout.write(json.dumps([codes, torn, num_parts, contents(root)]))


def test_a_full_disk_exits_7_and_the_next_run_goes_on(
    tmp_path: Path, golden: list[list[str]], root: Path
) -> None:
    mount = f"mount -t tmpfs -o size=256k none {tmp_path}"
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if (
        not shutil.which("unshare")
        or subprocess.run([*inside, mount], capture_output=True).returncode
    ):
        pytest.skip("a small file system cannot be mounted here, not even in a namespace")
    code = f"from tests.faults import test_no_room as t; t.fill(t.Path({str(tmp_path)!r}))"
    done = subprocess.run(
        [*inside, f'{mount} && exec "$0" -c "$1"', sys.executable, code],
        cwd=root, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    codes, torn, num_parts, found = json.loads(done.stdout)
    assert codes == [7, 7]  # before a run, and in the middle of one
    assert 0 < num_parts < sum(map(len, golden))
    assert torn == []
    assert found == golden
    assert done.stderr.count("the disk is full") == 2
    assert f"MB are free in {tmp_path}, and a run needs 64" in done.stderr
    assert "Traceback" not in done.stderr


def _check(folder: Path, answers: multiprocessing.Queue[str]) -> None:
    if os.geteuid() == 0:
        os.setuid(65534)  # root may write anywhere
    try:
        check_workspace(folder / "new" / "workspace", writes=False)
        check_workspace(folder / "new" / "workspace", writes=True)
        answers.put("it may be written")
    except BadSettings as error:
        answers.put(f"{faults.code_of(error)}: {error}")


def test_a_workspace_that_may_not_be_written_is_refused() -> None:
    """`tmp_path` is closed to others, so this folder lies elsewhere: everybody may look into it."""
    context = multiprocessing.get_context("fork")
    answers: multiprocessing.Queue[str] = context.Queue()
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        child = context.Process(target=_check, args=(Path(name), answers))
        child.start()
        said = answers.get(timeout=60)
        child.join(60)
    assert said == f"2: {name} cannot be written: give another one as RDPT_WORKSPACE"
