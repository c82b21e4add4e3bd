"""kill -9 at every point of a commit: the next run ends with the tables of an uninterrupted one."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from rdpt_core.store.parts import Store
from tasks.plan import Plan
from tasks.worker import Worker
from tests.faults.commit_points import POINTS, killing, planted
from tests.stages import toy_stages

CALLS = ("traces", "grades", "sentences", "selection")


def _run(root: Path) -> None:
    store = Store(root)
    for table in toy_stages.chain_of(toy_stages.given(range(12))):
        if not Plan(store).state(table).complete:
            Worker(Plan(store), toy_stages.Options(), toy_stages.Journal()).build(table)


def _contents(root: Path) -> list[tuple[str, ...]]:
    plan = Plan(Store(root))
    return [
        tuple(part.content for part in plan.state(table).parts)
        for table in toy_stages.chain_of(toy_stages.given(range(12)))
    ]


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, ...]]:
    root = tmp_path_factory.mktemp("golden")
    _run(root)
    return _contents(root)


@pytest.mark.fault("F02")
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("table", CALLS)
def test_a_run_that_was_killed_ends_like_one_that_was_not(
    tmp_path: Path, golden: list[tuple[str, ...]], table: str, point: str
) -> None:
    stop = killing(table, point, number=1 if table == "selection" else 2)

    def run_until_killed() -> None:
        with planted(stop):
            _run(tmp_path)

    child = multiprocessing.get_context("fork").Process(target=run_until_killed)
    child.start()
    child.join(60)
    assert child.exitcode == -9
    committed = len(list(Store(tmp_path).records(table)))
    journal = toy_stages.build(tmp_path, toy_stages.chain_of(toy_stages.given(range(12))))
    assert _contents(tmp_path) == golden
    assert journal.parts.count(table) == len(golden[1 + CALLS.index(table)]) - committed
    assert not list(tmp_path.rglob("*.tmp"))
