"""What a run says of its tables to the person in front of it."""

from __future__ import annotations

import os
import socket
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from rdpt_core.store.holding import Holder
from rdpt_core.store.parts import Store
from tasks.plan import Plan
from tasks.progress import TableProgress
from tasks.stage import StageTable
from tests.stages import toy_stages

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def wanted(tmp_path: Path) -> tuple[Any, Any]:
    """A call, and a part of it that is to be made."""
    problems, traces, *_ = toy_stages.chain_of(toy_stages.given(range(4)), samples=1)
    toy_stages.build(tmp_path, [problems])
    return traces, Plan(Store(tmp_path)).state(traces).missing[0]


@pytest.mark.fault("F14")
def test_another_run_that_builds_the_part_is_named_once(
    wanted: tuple[Any, Any], capsys: Capture
) -> None:
    progress, holder = TableProgress("traces train", "tokens"), Holder(1, "elsewhere", "10:00:00")
    progress.waits(*wanted, holder)
    progress.waits(*wanted, holder)
    (line,) = capsys.readouterr().err.splitlines()
    assert "which process 1 on elsewhere is building (since 10:00:00)" in line


def test_a_run_says_nothing_of_waiting_for_itself(wanted: tuple[Any, Any], capsys: Capture) -> None:
    TableProgress("traces train", "tokens").waits(
        *wanted, Holder(os.getpid(), socket.gethostname(), "10:00:00")
    )
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["grades", "sentence_scores student test:bench [random_draw1]"])
def test_a_finished_table_takes_one_line_of_a_terminal(
    name: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.progress.time.monotonic", count(0.0, 5.0).__next__)
    progress = TableProgress(name, "tokens")
    progress.units(10_000_000)
    progress.finished()
    (line,) = capsys.readouterr().err.splitlines()
    assert len(line) <= 80
    assert line.endswith(" s")


def test_a_table_that_is_generated_counts_tokens_against_their_cap(wanted: tuple[Any, Any]) -> None:
    class Sampling:
        max_new_tokens = 320

    class Generated(StageTable):
        parameters = {"sampling": Sampling()}  # noqa: RUF012

    table, _ = wanted
    progress = TableProgress("traces train", "tokens", quiet=True)
    progress.started(Generated(table.stage, table.arguments), 32)
    progress.units(1024)
    assert progress.counts == "1,024 of <= 10,240 tokens"
    assert progress.share == pytest.approx(0.1)
    progress.units(64, 16)  # texts end before their cap
    assert progress.share == pytest.approx(0.5)


def test_a_training_counts_steps_of_those_that_it_will_take(wanted: tuple[Any, Any]) -> None:
    progress = TableProgress("students", "steps", quiet=True)
    progress.started(wanted[0], 221)
    progress.expects(42)
    for _ in range(21):
        progress.row(object())
    assert progress.counts == "21 of 42 steps"
    assert progress.share == pytest.approx(0.5)


def test_a_rate_of_a_moment_or_of_one_unit_is_not_shown(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for units, step in ((5000, 0.01), (1, 5.0)):
        monkeypatch.setattr("tasks.progress.time.monotonic", count(0.0, step).__next__)
        progress = TableProgress("results", "rows")
        progress.units(units)
        progress.finished()
        assert "/s" not in capsys.readouterr().err
