"""Bars of tables that are built at the same time, and the lines above them."""

from __future__ import annotations

import io
import re
import threading

import pytest

from rdpt_core.report.terminal import Terminal
from tasks.bars import Bars


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    return Screen()


def visible(screen: Screen) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())


def test_bars_of_several_threads_are_open_at_once_and_gone_at_the_end(screen: Screen) -> None:
    bars, together = Bars(Terminal(file=screen)), threading.Barrier(3, timeout=30)

    def build(name: str) -> None:
        bar = bars.open(name, 4)
        assert bar is not None
        bar.show(2, "12 tokens/s, 7 s left")
        together.wait()
        together.wait()
        bar.close()

    threads = [threading.Thread(target=build, args=(f"table {n}",), daemon=True) for n in (1, 2)]
    for thread in threads:
        thread.start()
    together.wait()
    bars.say("a line above")
    frame = visible(screen).partition("a line above")[2]
    together.wait()
    for thread in threads:
        thread.join()
    for n in (1, 2):
        assert re.search(rf"table {n} .* 50% 12 tokens/s, 7 s left", frame)
    assert screen.getvalue().endswith("\x1b[2K\r")  # the last thing is the erasing of the last bar
    assert "\x1b[?25l" not in screen.getvalue()  # the cursor stays visible if a run is killed


def test_names_are_text_and_never_markup(screen: Screen) -> None:
    bars = Bars(Terminal(file=screen))
    bar = bars.open("traces [red][teacher]", 4)
    assert bar is not None
    bars.say("failed: traces [red][teacher]")
    bar.close()
    assert visible(screen).count("traces [red][teacher]") >= 2


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"TTY_INTERACTIVE": "0"}])
def test_a_terminal_that_cannot_redraw_a_line_has_no_bars(
    environment: dict[str, str], screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Bars(Terminal(file=screen)).open("traces", 4) is None


def test_a_file_has_no_bars() -> None:
    assert Bars(Terminal(file=io.StringIO())).open("traces", 4) is None


def test_no_bar_reaches_the_end_of_the_line_where_a_terminal_writes_ctrl_c(screen: Screen) -> None:
    """There ^C began a new line, and the bars were erased one line too low."""
    bars = Bars(Terminal(file=screen))
    bar = bars.open("traces", 4)
    assert bar is not None
    bar.show(2, "12 tokens/s, 7 s left")
    frames = [line for line in re.split(r"[\r\n]+", visible(screen)) if "traces" in line]
    bar.close()
    assert frames
    assert max(map(len, frames)) == 80 - 3
