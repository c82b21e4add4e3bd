"""All tables of a run at a glance: how many are done, how long the others take.

On a terminal an overall bar stands below those of the tables that are built, and the tables of a
stage become one line when the last of them is finished. In a file or a pipe every table has a line,
and every 30 s another one says how far the run is.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from rdpt_core.store.record import Part
from tasks import stopping
from tasks.bars import BARS, Bar
from tasks.pace import COUNTED, Pace
from tasks.plan import Plan
from tasks.progress import PLAIN_SECONDS, TableProgress, say
from tasks.stage import Table

TICK_SECONDS = 1.0
LOOKING = 19.0
"""Times what a look takes, to the next."""


@dataclass
class Fold:
    """The tables of one stage that a run builds."""

    num_wanted: int
    num_done: int = 0
    seconds: float = 0.0

    def line(self, stage: str) -> str:
        tables = "table" if self.num_done == 1 else "tables"
        return f"{stage:<16}{self.num_done:>3} {tables:<6}{self.seconds:>9,.1f} s"


class RunOverview:
    """The overview of one walk over all tables; a context in which it is shown."""

    def __init__(self, plan: Plan, tables: Sequence[Table], workers: int) -> None:
        self._plan, self._tables = plan, tables
        self._pace = Pace(plan, tables, workers)
        wanted = Counter(t.name for t in tables if not plan.known(t).complete)
        self._folds = {name: Fold(num) for name, num in wanted.items()}
        self._active: list[TableProgress] = []
        self._lock = threading.Lock()
        self._bar: Bar | None = None
        self._ended = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="overview", daemon=True)

    def __enter__(self) -> RunOverview:
        BARS.clear()  # of what a run waited for before
        self._bar = BARS.open(self.how_far(), len(self._tables), is_overall=True)
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        """Also of tables that failed, or that the run never came to."""
        self._ended.set()
        self._ticker.join()
        for progress in list(self._active):
            self.ended(progress, is_finished=False)
        if self._bar is not None:
            self._bar.close()
            for stage, fold in self._folds.items():
                if 0 < fold.num_done < fold.num_wanted:
                    say(fold.line(stage))

    # ------------------------------------------------------------------ what happens

    def begun(self, progress: TableProgress) -> None:
        with self._lock:
            self._active.append(progress)

    def built(self, table: Table, part: Part) -> None:
        self._pace.built(table, part)

    def ended(self, progress: TableProgress, is_finished: bool) -> None:
        """On a terminal a finished table counts in the line of its stage; elsewhere it has one."""
        with self._lock:
            if progress not in self._active:
                return
            self._active.remove(progress)
        if is_finished and self._bar is None:
            progress.end()
            return
        progress.erase()
        if not is_finished or progress.table is None:
            return
        stage = progress.table.name
        with self._lock:
            fold = self._folds.setdefault(stage, Fold(1))
            fold.num_done += 1
            fold.seconds += progress.seconds
            is_whole = fold.num_done == fold.num_wanted
        if is_whole:
            say(fold.line(stage))

    # ------------------------------------------------------------------ what is shown

    def how_far(self) -> str:
        return f"{self._num_done()} of {len(self._tables)} tables"

    def _num_done(self) -> int:
        return sum(self._plan.known(table).complete for table in self._tables)

    def left(self) -> str:
        with self._lock:
            active = list(self._active)
        done = {
            progress.table.digest: progress.done_in_parts
            for progress in active
            if progress.table is not None and progress.table.name in COUNTED
        }
        return str(self._pace.left(done))

    def _tick(self) -> None:
        spoken, due, is_stopping = time.monotonic(), 0.0, False
        while not self._ended.wait(TICK_SECONDS):
            if stopping.asked() and not is_stopping:
                is_stopping = True
                say("stopping at the next batch; Ctrl-C again ends at once")
            if self._bar is not None:
                if time.monotonic() > due:
                    due = self._show(self._bar)
            elif time.monotonic() - spoken > PLAIN_SECONDS:
                spoken = time.monotonic()
                say(self._line())

    def _show(self, bar: Bar) -> float:
        """Draws the overall bar; returns when to draw it again. A study may have some hundred
        thousand parts, and looking at them takes a twentieth of the time at most."""
        begun = time.monotonic()
        bar.show(self._num_done(), self.left(), self.how_far(), self._finished())
        ended = time.monotonic()
        return ended + LOOKING * (ended - begun)

    def _finished(self) -> str:
        """Stages that are begun and not whole, for the line above the bars."""
        with self._lock:
            begun = [
                f"{stage} {fold.num_done}/{fold.num_wanted}"
                for stage, fold in self._folds.items()
                if 0 < fold.num_done < fold.num_wanted
            ]
        return f"done: {', '.join(begun)}" if begun else ""

    def _line(self) -> str:
        with self._lock:
            active = [f"{p.name} {p.counts}" for p in self._active]
        now = f"; {'; '.join(active)}" if active else ""
        return f"{self.how_far()}, {self.left()}{now}"
