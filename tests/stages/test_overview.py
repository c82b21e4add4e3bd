"""The overview of a run: tables folded by stage on a terminal, a line each in a pipe."""

from __future__ import annotations

import io
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rdpt_core.report.terminal import Terminal
from rdpt_core.store.parts import Store
from tasks import overview as module
from tasks.bars import Bars
from tasks.overview import RunOverview
from tasks.plan import Plan
from tasks.progress import TableProgress
from tasks.worker import Worker
from tests.stages import toy_stages


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(module, "TICK_SECONDS", 0.02)
    shown = Screen()
    bars = Bars(Terminal(file=shown))
    for place in ("tasks.overview.BARS", "tasks.progress.BARS"):
        monkeypatch.setattr(place, bars)
    return shown


def visible(screen: Screen) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())


def tables() -> list[Any]:
    """Two chains over the same problems: two tables of each stage."""
    problems = toy_stages.given(range(8))
    plain = toy_stages.chain_of(problems, samples=1)
    loud = toy_stages.chain_of(problems, samples=1, style="it must be")
    return [*plain, *loud[1:]]


def run(folder: Path, wanted: list[Any], stops_at: int | None = None) -> None:
    plan = Plan(Store(folder))
    with RunOverview(plan, wanted, workers=1) as overview:
        for number, table in enumerate(wanted):
            if number == stops_at:
                break
            progress = TableProgress(table.name, "rows", overview=overview)
            Worker(plan, toy_stages.Options(), progress).build(table)


def test_a_terminal_gets_one_line_for_all_tables_of_a_stage(tmp_path: Path, screen: Screen) -> None:
    run(tmp_path, tables())
    stages = [line.split() for line in visible(screen).splitlines() if line.rstrip().endswith(" s")]
    assert [line[-5:-2] for line in stages] == [
        ["problems", "1", "table"],
        ["traces", "2", "tables"],
        ["grades", "2", "tables"],
        ["sentences", "2", "tables"],
        ["selection", "2", "tables"],
    ]


def test_what_a_stopped_run_has_finished_is_said_at_its_end(tmp_path: Path, screen: Screen) -> None:
    run(tmp_path, tables(), stops_at=2)
    last = [line for line in visible(screen).splitlines() if " table " in line]
    assert "traces            1 table" in last[-1]


def test_the_overall_bar_counts_tables_and_tells_the_time_left(
    tmp_path: Path, screen: Screen
) -> None:
    wanted = tables()
    toy_stages.build(tmp_path, wanted[:1])
    plan = Plan(Store(tmp_path))
    with RunOverview(plan, wanted, workers=1):
        until(lambda: " ~" in visible(screen))
        assert "1 of 9 tables" in visible(screen)
        toy_stages.build(tmp_path, wanted[1:2])
        part = Plan(Store(tmp_path)).state(wanted[1]).parts[0]
        plan.commit(wanted[1], (0, 0), part)
    with RunOverview(Plan(Store(tmp_path)), wanted, workers=1):
        until(lambda: "2 of 9 tables" in visible(screen))


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_pipe_gets_one_line_a_table_without_a_rate_that_means_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, tables())
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in lines] == [table.name for table in tables()]
    assert all(re.fullmatch(r"\w+ +\d+\.\d s", line) for line in lines)


def test_a_pipe_hears_every_30_s_how_far_the_run_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(module, "PLAIN_SECONDS", 0.01)
    wanted = tables()
    toy_stages.build(tmp_path, wanted[:1])
    plan = Plan(Store(tmp_path))
    with RunOverview(plan, wanted, workers=1) as overview:
        progress = TableProgress("traces train [all]", "tokens", overview=overview)
        progress.started(wanted[1], 8)
        progress.units(120, 3)
        said = ""

        def is_said() -> bool:
            nonlocal said
            said += capsys.readouterr().err
            return "3 of 8" in said

        until(is_said)
    assert "1 of 9 tables, ~; traces train [all] 3 of 8" in said


@pytest.mark.fault("F27")
def test_a_stop_is_answered_before_the_work_in_the_making_hears_of_it(
    tmp_path: Path, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.stopping._arrived", [signal.SIGINT])
    with RunOverview(Plan(Store(tmp_path)), tables(), workers=1):
        until(lambda: "stopping at the next batch" in visible(screen))
        time.sleep(0.2)
    assert visible(screen).count("stopping at the next batch") == 1
