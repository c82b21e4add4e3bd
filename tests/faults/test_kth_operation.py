"""Every k-th operation on a file fails, in every command that writes: nothing is half-done, and the
same command without faults ends with the tables of an uninterrupted one."""

from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from flows import cli, errors
from flows.commands import run
from flows.workspace import CONTENTS, freeze
from rdpt_core.finetune import training
from rdpt_core.store import integrity, notes
from rdpt_core.store.parts import Store
from tasks import models
from tasks.plan import Plan
from tests.core.models import tiny
from tests.faults.failing_files import failing
from tests.faults.test_damaged_files import build
from tests.flows.example_experiments import Studio, copying_train
from tests.stages import toy_stages

pytestmark = pytest.mark.fault("F09")

ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS)
FULL = (errno.ENOSPC, errno.EDQUOT)
EVERY = os.environ.get("RDPT_TEST_EVERY_K") == "1"
"""True for every k, which takes minutes; else one in `step` of them. The errors take turns."""

Capture = pytest.CaptureFixture[str]


def numbers(step: int) -> Iterator[tuple[int, int]]:
    """Each k with its error."""
    every = 1 if EVERY else step
    yield from ((k, ERRORS[k // every % len(ERRORS)]) for k in count(1, every))


def fails_at_every(
    step: int, prepare: Callable[[], None], act: Callable[[], int], check: Callable[[str], None]
) -> Counter[str]:
    """Lets `act` fail at each k from what `prepare` leaves; how it ended, by operation and code."""
    ends: Counter[str] = Counter()
    for k, number in numbers(step):
        prepare()
        with failing(k, number) as operations:
            code = act()
        if not operations.failed:
            return ends
        place = f"k = {k}, {operations.failed}: {errno.errorcode[number]}, exit {code}"
        ends[f"{operations.failed} {code}"] += 1
        assert code in {0, 1, 2, errors.RESOURCE}, place
        assert code in {0, errors.RESOURCE} or number not in FULL, place
        check(place)
    raise AssertionError("not reached")


def figure(record: Callable[[str, object], None], ends: Counter[str]) -> None:
    succeeded = sum(number for end, number in ends.items() if end.endswith(" 0"))
    record("figure", f"{ends.total()} failures, {succeeded} of them survived by the command")


# ---------------------------------------------------------------------------- the store


def test_any_operation_of_a_build_may_fail(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    tables = toy_stages.chain_of(toy_stages.given(range(8)))

    def contents(root: Path) -> list[list[str]]:
        plan = Plan(Store(root))
        return [[part.content for part in plan.state(table).parts] for table in tables]

    toy_stages.build(tmp_path / "whole", tables)
    golden, root = contents(tmp_path / "whole"), tmp_path / "store"

    def act() -> int:
        try:
            toy_stages.build(root, tables)
        except OSError as error:
            return errors.code_of(error)
        return 0

    def check(place: str) -> None:
        assert list(integrity.damages(Store(root, read_only=True), lambda read: None)) == [], place
        toy_stages.build(root, tables)
        assert contents(root) == golden, place
        assert not list(root.rglob("*.tmp")), place
        assert not list(root.glob("quarantine/*")), place

    def prepare() -> None:
        shutil.rmtree(root, ignore_errors=True)

    figure(record_property, fails_at_every(17, prepare, act, check))


# ---------------------------------------------------------------------------- commands


class Commands:
    """A finished study, from which each command starts in a copy."""

    def __init__(self, studio: Studio, capsys: Capture) -> None:
        self.studio, self.capsys = studio, capsys
        self.kept = studio.folder / "kept"
        self.workspace = studio.folder / "workspace"

    def restore(self) -> None:
        shutil.rmtree(self.workspace, ignore_errors=True)
        shutil.copytree(self.kept, self.workspace)

    def asked(self, *arguments: str) -> int:
        """The exit code; a traceback is none."""
        self.capsys.readouterr()
        models._identify.cache_clear()
        notes._SAID.clear()
        code = cli.main(list(arguments))
        self.said = "".join(self.capsys.readouterr())
        assert "Traceback" not in self.said, self.said
        return code

    def contents(self) -> list[str]:
        opened = self.studio.open(limit=4, samples=1)
        plan = Plan(opened.store)
        return [p.content for table in opened.study.tables() for p in plan.state(table).parts]

    def damages(self) -> list[integrity.Damage]:
        store = Store(self.workspace / "store", read_only=True)
        return list(integrity.damages(store, lambda read: None))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    studio = Studio(tmp_path_factory.mktemp("finished"))
    for seed, name in enumerate(("teacher", "student")):
        tiny.make_qwen(studio.folder / name, seed=seed)
    studio.write_problems("problems", range(6))
    studio.write_problems("bench", range(100, 103))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "train", copying_train)
        build(studio.open(limit=4, samples=1))
    shutil.copytree(studio.folder / "workspace", studio.folder / "kept")
    return studio


@pytest.fixture
def commands(finished: Studio, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Commands:
    monkeypatch.setattr(training, "train", copying_train)
    monkeypatch.setattr(run, "_build", build)
    monkeypatch.chdir(finished.folder)
    monkeypatch.setenv("RDPT_THREADS", "1")
    monkeypatch.setenv("RDPT_TRACKING", "off")
    monkeypatch.setenv("RDPT_GC_GRACE_DAYS", "0")
    finished.open(limit=4, samples=1)
    found = Commands(finished, capsys)
    found.restore()
    return found


def at_every(
    commands: Commands, step: int, prepare: Callable[[], None], *command: str
) -> Counter[str]:
    golden = commands.contents()

    def check(place: str) -> None:
        assert commands.asked(*command) == 0, f"{place}\n{commands.said}"
        assert commands.asked("run", "study.toml") == 0, f"{place}\n{commands.said}"
        assert commands.contents() == golden, place
        assert commands.damages() == [], place
        assert commands.asked("verify") == 0, f"{place}\n{commands.said}"

    return fails_at_every(step, prepare, lambda: commands.asked(*command), check)


@pytest.mark.timeout(7200)
def test_any_operation_of_a_run_may_fail(
    commands: Commands, record_property: Callable[[str, object], None]
) -> None:
    def prepare() -> None:
        shutil.rmtree(commands.workspace, ignore_errors=True)

    figure(record_property, at_every(commands, 211, prepare, "run", "study.toml"))


@pytest.mark.timeout(1800)
def test_any_operation_of_a_collection_may_fail(
    commands: Commands, record_property: Callable[[str, object], None]
) -> None:
    def prepare() -> None:
        """Parts of labels that nobody uses any more, and no note that somebody did."""
        commands.restore()
        (commands.workspace / "runs/study" / CONTENTS).unlink()
        freeze(commands.studio.open(limit=4, samples=1, beta=0.2))
        commands.studio.open(limit=4, samples=1)  # which a run asks for again

    figure(record_property, at_every(commands, 29, prepare, "gc"))


@pytest.mark.timeout(1800)
def test_any_operation_of_a_repair_may_fail(
    commands: Commands, record_property: Callable[[str, object], None]
) -> None:
    def prepare() -> None:
        commands.restore()
        for table in ("grades", "students"):
            part = next(commands.workspace.glob(f"store/{table}/*.parquet"))
            part.write_bytes(part.read_bytes()[:-9])
        (commands.workspace / "models.json").write_bytes(b"{")

    figure(record_property, at_every(commands, 17, prepare, "verify", "--repair"))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("out", ["all.duckdb", "grades.parquet", "grades.csv"])
def test_any_operation_of_an_export_may_fail(
    commands: Commands, out: str, record_property: Callable[[str, object], None]
) -> None:
    table = () if out.endswith(".duckdb") else ("grades",)
    command = ("export", "study", *table, "-o", out)
    assert commands.asked(*command) == 0
    before = Path(out).stat().st_size
    ends = at_every(commands, 2, commands.restore, *command)
    assert Path(out).stat().st_size >= before // 2
    assert not list(Path().glob(f".{out}*"))
    figure(record_property, ends)
