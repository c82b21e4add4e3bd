"""A full disk and a folder that may not be written: said plainly, and nothing is lost."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from flows import errors
from flows.checks import check_room, check_workspace
from rdpt_core.finetune.checkpoints import MARKER
from rdpt_core.finetune.training import TrainingExample, train
from rdpt_core.store.parts import Store
from settings.loading import BadSettings
from tasks.plan import Plan
from tasks.worker import Worker
from tests.conftest import ROOT
from tests.core.finetune.tiny_students import MACHINE, RECIPE, base
from tests.faults.commit_points import POINTS, planted
from tests.stages import toy_stages

__all__ = ["base"]

TABLES = ("traces", "sentences", "selection")


def build(root: Path) -> None:
    store = Store(root)
    for table in toy_stages.chain_of(toy_stages.given(range(12))):
        if not Plan(store).state(table).complete:
            Worker(Plan(store), toy_stages.Options(), toy_stages.Journal()).build(table)


def contents(root: Path) -> list[list[str]]:
    plan = Plan(Store(root))
    tables = toy_stages.chain_of(toy_stages.given(range(12)))
    return [[part.content for part in plan.state(table).parts] for table in tables]


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    root = tmp_path_factory.mktemp("golden")
    build(root)
    return contents(root)


@pytest.mark.fault("F08", "F09")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("table", TABLES)
def test_a_write_that_fails_leaves_nothing_half_written(
    tmp_path: Path, golden: list[list[str]], table: str, point: str, number: int
) -> None:
    def fail(at_table: str, at_point: str) -> None:
        if (at_table, at_point) == (table, point):
            raise OSError(number, os.strerror(number), table)

    with pytest.raises(OSError, match=table) as error, planted(fail):
        build(tmp_path)
    assert error.value.errno == number
    assert errors.code_of(error.value) == (7 if number == errno.ENOSPC else 1)
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
            codes.append(errors.explain(error))
    torn = [path.name for path in root.rglob("*.tmp")]
    num_parts = len(list(root.rglob("*.parquet")))
    resize(root, "32m")
    build(root)
    sys.stdout.write(json.dumps([codes, torn, num_parts, contents(root)]))


def on_a_small_disk(folder: Path, size: str, table: str) -> tuple[Any, str]:
    """What a function of this file writes to stdout as JSON, and to stderr, with a file system of
    that size at `folder`."""
    mount = f"mount -t tmpfs -o size={size} none {folder}"
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if (
        not shutil.which("unshare")
        or subprocess.run([*inside, mount], capture_output=True).returncode
    ):
        pytest.skip("a small file system cannot be mounted here, not even in a namespace")
    code = f"from tests.faults import test_no_room as t; from pathlib import Path; t.{table}"
    done = subprocess.run(
        [*inside, f'{mount} && exec "$0" -c "$1"', sys.executable, code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def resize(folder: Path, size: str) -> None:
    os.sync()
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


@pytest.mark.fault("F08")
def test_a_full_disk_exits_7_and_the_next_run_goes_on(
    tmp_path: Path, golden: list[list[str]]
) -> None:
    (codes, torn, num_parts, found), said = on_a_small_disk(
        tmp_path, "256k", f"fill(Path({str(tmp_path)!r}))"
    )
    assert codes == [7, 7]  # before a run, and in the middle of one
    assert 0 < num_parts < sum(map(len, golden))
    assert torn == []
    assert found == golden
    assert said.count("not enough room on the disk") == 2
    assert f"not enough room on the disk: {tmp_path}: 64 MB needed, " in said
    assert "Traceback" not in said


SIZES = ("64k", "200k", "650k")
"""Disks that fill with the first weights of a checkpoint, with its optimiser (which torch writes
in its own way), and with the trained model."""


def fill_with_training(root: Path, base: Path) -> None:
    examples = [
        TrainingExample(f"trace-{i}", [5, 6, 7 + i, 8, 1], [0, 0, 1, 1, 1]) for i in range(10)
    ]
    recipe = RECIPE.model_copy(update={"epochs": 1})
    arguments = (base, examples, recipe, 7, "s", root / "work", root / "out", MACHINE)
    ended = []
    for size in SIZES:
        resize(root, size)
        try:
            train(*arguments)
        except OSError as error:
            sealed = [path.parent.name for path in root.rglob(MARKER)]
            ended.append([errors.explain(error), str(error), sealed])
    resize(root, "32m")
    steps = [step.step for step in train(*arguments)]
    sys.stdout.write(json.dumps([ended, steps, (root / "work/finetune.log").read_text()]))


@pytest.mark.fault("F08")
def test_a_disk_that_fills_in_a_trainings_process_exits_7_and_the_training_resumes(
    base: Path, tmp_path: Path
) -> None:
    (ended, steps, log), said = on_a_small_disk(
        tmp_path, SIZES[0], f"fill_with_training(Path({str(tmp_path)!r}), Path({str(base)!r}))"
    )
    assert [code for code, *_ in ended] == [7] * len(SIZES)
    for _, message, _ in ended:
        place = message.removeprefix("not enough room on the disk: ").partition(": ")[0]
        assert Path(place).is_relative_to(tmp_path)
        assert re.search(r": \S+ kB needed, \S+ k?B free", message), message
    assert [sealed for *_, sealed in ended] == [[], [], ["checkpoint-3"]]
    starts = [line for line in log.splitlines() if line.startswith("starts from")]
    assert starts[-1].endswith("checkpoint-3"), "no step was taken again"
    assert steps == [1, 2, 3]
    assert "Traceback" not in said


def _check(folder: Path, answers: multiprocessing.Queue[str]) -> None:
    if os.geteuid() == 0:
        os.setuid(65534)  # root may write anywhere
    try:
        check_workspace(folder / "new" / "workspace", writes=False)
        check_workspace(folder / "new" / "workspace", writes=True)
        answers.put("it may be written")
    except BadSettings as error:
        answers.put(f"{errors.code_of(error)}: {error}")


@pytest.mark.fault("F39")
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
    assert said == f"2: {name} cannot be written: set RDPT_WORKSPACE to another folder"
