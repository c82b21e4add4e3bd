"""What a run says of its tables to the person in front of it."""

from __future__ import annotations

import os
import socket
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from rdpt_core.store.parts import Holder, Store
from tasks.plan import Plan
from tasks.progress import TableProgress
from tests.stages import toy_stages

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def wanted(tmp_path: Path) -> tuple[Any, Any]:
    """A call, and a part of it that is to be made."""
    problems, traces, *_ = toy_stages.chain_of(toy_stages.given(range(4)), samples=1)
    toy_stages.build(tmp_path, [problems])
    return traces, Plan(Store(tmp_path)).state(traces).missing[0]


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
