"""kill -9, or a full disk, at every point of a commit of every stage: only the part in flight is
made again, and of it nothing that was durable. Counted in work, not only compared in contents."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows import errors
from rdpt_core.finetune import training
from tasks.batches import Batches
from tasks.plan import Plan
from tasks.worker import Worker
from tests.core.models import tiny
from tests.faults.commit_points import POINTS, Stop, killing, passing, planted
from tests.flows.example_experiments import STUDENT, Studio

CHANGES = {
    "limit": 8,
    "samples": 1,
    "benchmarks": "",
    "students": STUDENT.format(name="student") + "[training]\nepochs = 1\nglobal_batch = 4\n",
}
STAGES = (
    "traces",
    "grades",
    "sentences",
    "scores",
    "sentence_scores",
    "provenance",
    "pool",
    "selection",
    "students",
    "results",
)
BEFORE_THE_RECORD = [point for point in POINTS if point != "after_commit"]
FULL = 7


class Killed:
    """A study whose runs end at a planted point, and an account of the work that they did."""

    def __init__(self, folder: Path) -> None:
        self.studio, self.account = Studio(folder), folder / "work.txt"
        for seed, name in enumerate(("teacher", "student")):
            tiny.make_qwen(folder / name, seed=seed)
        self.studio.write_problems("problems", range(8))

    def run(self, stop: Stop) -> int | None:
        """The exit code of a process that builds; `stop` is called at each point of each commit."""

        def work() -> None:
            self._count(Worker, "_run_stage", lambda worker, table, *_: table.name)
            self._count(Batches, "keep", lambda *_: "batch")
            self._count(training, "_attempt", lambda *_: "training")
            try:
                with planted(stop):
                    self.studio.build(**CHANGES)
            except OSError as error:
                os._exit(errors.code_of(error))

        child = multiprocessing.get_context("fork").Process(target=work)
        child.start()
        child.join(240)
        return child.exitcode

    def _count(self, owner: Any, name: str, what: Callable[..., str]) -> None:
        function = getattr(owner, name)

        def counted(*arguments: Any) -> Any:
            with self.account.open("a") as file:
                file.write(what(*arguments) + "\n")
            return function(*arguments)

        setattr(owner, name, counted)

    def work(self) -> Counter[str]:
        return Counter(self.account.read_text().split())

    def contents(self) -> list[tuple[str, str]]:
        opened = self.studio.open(**CHANGES)
        plan = Plan(opened.store)
        return [
            (table.name, part.content)
            for table in opened.study.tables()
            for part in plan.state(table).parts
        ]


def full_at(table: str, point: str) -> Stop:
    def stop(at_table: str, at_point: str) -> None:
        if (at_table, at_point) == (table, point):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return stop


@pytest.mark.fault("F02", "F06", "F08")
@pytest.mark.timeout(900)
def test_no_finished_work_is_done_again_whatever_point_of_which_commit_is_hit(
    tmp_path: Path,
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole, killed = Killed(tmp_path / "whole"), Killed(tmp_path / "killed")
    assert whole.run(passing) == 0
    needed = whole.work()
    assert needed["training"] == 1
    assert set(STAGES) <= set(needed)

    for table in ("problems", *STAGES):
        for point in POINTS:
            assert killed.run(killing(table, point)) == -signal.SIGKILL, (table, point)
            if table == "students" and point in BEFORE_THE_RECORD:
                assert killed.run(full_at(table, point)) == FULL
    assert killed.run(passing) == 0

    again = Counter(dict.fromkeys(STAGES, len(BEFORE_THE_RECORD)))
    again["students"] *= 2  # by a full disk as well
    assert killed.work() == needed + again, "no batch and no training among what was done again"
    assert killed.contents() == whole.contents()
