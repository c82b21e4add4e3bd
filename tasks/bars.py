"""Bars of everything that works now, one below the other on a terminal, and lines above them.

The last bar is the overall one, where there is one, and above all bars stands what is finished.

Tables are built in threads, and rich's own refreshing thread may write between the parts of
another thread's line. So nothing refreshes by itself: who has news draws, one at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.table import Column
from rich.text import Text

from rdpt_core.report.terminal import Terminal
from rdpt_core.report.words import broken

REFRESH_SECONDS = 0.25
MARGIN = 3
"""Columns right of the bars: a terminal that writes ^C there must not begin a new line, after which
the bars would be erased one line too low."""
EMPTY = " "
"""rich lays out no table of full width that has a column without a letter."""


class Bars:
    """All bars of one console."""

    def __init__(self, console: Terminal) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._live: _Live | None = None
        """There while a bar is open."""
        self._drawn = 0.0
        self.quiet = False
        """True to show no bar."""

    @property
    def are_shown(self) -> bool:
        """False where stderr is not a terminal that can redraw a line, or nothing is to be seen."""
        return self._console.is_interactive and not self.quiet

    def say(self, line: str) -> None:
        """Prints a line above the bars; a terminal breaks it between words."""
        with self._lock:
            is_terminal = self._console.is_terminal
            shown = broken(line, self._console.width) if is_terminal else line
            self._console.print(Text(shown))
            if self._live is not None:
                self._live.refresh()

    def open(self, name: str, total: int | None, is_overall: bool = False) -> Bar | None:
        """None where stderr is not a terminal that can redraw a line."""
        if not self.are_shown:
            return None
        with self._lock:
            if self._live is None:
                self._live = _live(self._console)
                self._live.start()
            task = self._live.add_task(name, total=total, note=EMPTY, is_overall=is_overall)
            self._live.refresh()
            return Bar(self, task)

    def show(
        self, task: TaskID, num_done: float, note: str, name: str | None, finished: str | None
    ) -> None:
        """Draws the bars if they were not drawn a moment ago."""
        with self._lock:
            if self._live is None:
                return
            self._live.update(task, completed=num_done, note=note or EMPTY, description=name)
            self._live.finished_work = self._live.finished_work if finished is None else finished
            if time.monotonic() - self._drawn > REFRESH_SECONDS:
                self._live.refresh()
                self._drawn = time.monotonic()

    def close(self, task: TaskID) -> None:
        """Erases a bar."""
        with self._lock:
            if self._live is None:
                return
            self._live.remove_task(task)
            self._live.refresh()
            if not self._live.tasks:
                self._live.stop()
                self._live = None

    def clear(self) -> None:
        """Erases all bars, of a process that is about to end."""
        with self._lock:
            if self._live is not None:
                self._live.stop()
                self._live = None


class Bar:
    """One of them."""

    def __init__(self, bars: Bars, task: TaskID) -> None:
        self._bars, self._task = bars, task

    def show(
        self, num_done: float, note: str, name: str | None = None, finished: str | None = None
    ) -> None:
        """A new `name`, and what stands above all bars, where they are given."""
        self._bars.show(self._task, num_done, note, name, finished)

    def close(self) -> None:
        self._bars.close(self._task)


class _Live(Progress):
    """What is finished, the bars of what works, the overall bar."""

    finished_work = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        if self.finished_work:
            yield _Narrow(Text(self.finished_work, "dim"))
        tasks = sorted(self.tasks, key=lambda task: bool(task.fields["is_overall"]))
        yield _Narrow(self.make_tasks_table(tasks))


@dataclass
class _Narrow:
    """Leaves the margin free; padding would write there."""

    inner: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(options.max_width - MARGIN, 1)
        yield from console.render(self.inner, options.update(width=width, no_wrap=False))


def _live(console: Terminal) -> _Live:
    """Names take what the other columns leave, and are cut there."""
    name = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    return _Live(
        TextColumn("{task.description}", markup=False, table_column=name),
        BarColumn(bar_width=10),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}", markup=False, justify="right"),
        console=console,
        auto_refresh=False,
        expand=True,
        transient=True,
        redirect_stdout=False,  # stdout is for data
        redirect_stderr=False,
    )


BARS = Bars(Terminal(stderr=True))
