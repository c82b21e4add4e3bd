"""Builds, kills, failures, damage, moves and repairs of a store, in any order: a record always
implies its file and its rows, and a build always ends with the contents of an undisturbed one."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rdpt_core.store import integrity, sweep
from rdpt_core.store.parts import Store
from tasks.plan import Plan
from tests.faults.commit_points import POINTS, killing, planted
from tests.faults.failing_files import failing
from tests.stages import toy_stages

TABLES = toy_stages.chain_of(toy_stages.given(range(8)))
EXAMPLES = int(os.environ.get("RDPT_TEST_EXAMPLES", "6"))
"""Sequences of steps; some hundred are worth their minutes now and then."""
COMMITTED = st.sampled_from(("traces", "grades", "sentences", "selection"))


def contents(root: Path) -> list[list[str]]:
    plan = Plan(Store(root))
    return [[part.content for part in plan.state(table).parts] for table in TABLES]


class StoreMachine(RuleBasedStateMachine):
    golden: list[list[str]]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.root, self.is_damaged = self.folder / "store", False

    def teardown(self) -> None:
        self.run()
        shutil.rmtree(self.folder)

    @rule()
    def run(self) -> None:
        for part in self._damages():  # which a build meets only where it reads
            assert integrity.repair(Store(self.root), part)
        toy_stages.build(self.root, TABLES)
        assert contents(self.root) == self.golden
        self.is_damaged = False

    @rule(table=COMMITTED, point=st.sampled_from(POINTS), number=st.integers(1, 3))
    def kill(self, table: str, point: str, number: int) -> None:
        def work() -> None:
            with planted(killing(table, point, number)):
                toy_stages.build(self.root, TABLES)

        child = multiprocessing.get_context("fork").Process(target=work)
        child.start()
        child.join(60)
        assert child.exitcode in (0, -signal.SIGKILL) or self.is_damaged

    @rule(number=st.integers(1, 120), code=st.sampled_from((errno.ENOSPC, errno.EIO)))
    def fail(self, number: int, code: int) -> None:
        if not self.is_damaged:
            with failing(number, code), suppress(OSError):
                toy_stages.build(self.root, TABLES)

    @rule(dice=st.randoms(use_true_random=False), cut=st.booleans())
    def damage(self, dice: object, cut: bool) -> None:
        files = sorted(p for p in self.root.glob("*/*") if p.suffix in (".json", ".parquet"))
        if files:
            path = dice.choice(files)  # type: ignore[attr-defined]
            path.write_bytes(path.read_bytes()[:-9]) if cut else path.unlink()
            self.is_damaged = True

    @rule()
    def verify_and_repair(self) -> None:
        for part in self._damages():
            assert integrity.repair(Store(self.root), part)
        self.is_damaged = False
        assert self._damages() == []

    @rule()
    def collect(self) -> None:
        store = Store(self.root)
        reached = {(r.part.table, r.part.key) for t in TABLES for r in store.records(t.name)}
        for stray in list(sweep.strays(store, reached, set())):
            assert sweep.remove(store, stray)

    @rule()
    def move(self) -> None:
        if self.root.exists():
            other = self.folder / f"moved-{len(list(self.folder.iterdir()))}"
            self.root = self.root.rename(other)

    @rule()
    def copy(self) -> None:
        """Without the times of the files: all of them are hashed again."""
        if self.root.exists():
            shutil.copytree(self.root, self.folder / "copy", copy_function=shutil.copyfile)
            shutil.rmtree(self.root)
            (self.folder / "copy").rename(self.root)

    @invariant()
    def a_record_implies_its_file_and_rows(self) -> None:
        assert self.is_damaged or self._damages() == []

    def _damages(self) -> list[integrity.Damage]:
        return list(integrity.damages(Store(self.root, read_only=True), lambda read: None))


def test_a_store_survives_everything_in_any_order(tmp_path: Path) -> None:
    toy_stages.build(tmp_path, TABLES)
    StoreMachine.golden = contents(tmp_path)
    StoreMachine.TestCase.settings = settings(
        max_examples=EXAMPLES,
        stateful_step_count=12,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    StoreMachine.TestCase("runTest").debug()
