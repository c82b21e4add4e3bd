"""Progress of tables: a bar on a terminal, otherwise one plain line every 30 s.

Everything goes to stderr, so that stdout holds only data.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.cells import cell_len

from rdpt_core.machine.resources import amount
from rdpt_core.report.terminal import printable
from rdpt_core.store.parts import Holder
from rdpt_core.store.record import Part
from settings.secrets import redacted
from tasks.bars import BARS, Bar
from tasks.plan import MissingPart
from tasks.stage import StageTable, Table
from tasks.worker import Watcher

PLAIN_SECONDS = 30.0
LINE = 80
"""Columns of the line that ends a table's work."""
BYTES = "B"
"""The unit whose amounts are shown as kB, MB, ..."""


class Meter:
    """How far one piece of work is, at what rate, and how long it will take.

    A *unit* is what the rate counts (tokens, steps, answers). An *item* is what the whole is
    counted in (rows, bytes), where it is known.
    """

    def __init__(self, name: str, unit: str, quiet: bool = False) -> None:
        self._name, self._unit, self._quiet = name, unit, quiet
        self._bar: Bar | None = None
        self._begun = self._spoken = time.monotonic()
        self._units = self._items = 0
        self._total: int | None = None

    def begin(self, total: int | None, bar: bool = True) -> None:
        self._begun = self._spoken = time.monotonic()
        self._total = total
        self._bar = BARS.open(self._name, total) if bar else None

    def advance(self, units: int = 0, items: int = 0) -> None:
        self._units += units
        self._items += items
        if self._bar is not None:
            self._bar.show(self._items, f"{self._rate()}{self._left()}")
        elif not self._quiet and time.monotonic() - self._spoken > PLAIN_SECONDS:
            self._spoken = time.monotonic()
            say(f"{self._name}: {self._state()}")

    def end(self) -> None:
        """Erases the bar; unless the meter is quiet, one line says how long the work took."""
        seconds = time.monotonic() - self._begun
        if self._bar is not None:
            self._bar.close()
        if not self._quiet:
            took = f"{seconds:8.1f} s"
            room = max(LINE - cell_len(f"{self._name} {took} "), 0)
            say(f"{self._name} {self._rate():>{room}} {took}")

    def _state(self) -> str:
        if self._total is None:
            return f"{self._units:,} {self._unit}, {self._rate()}"
        return f"{self._items} of {self._total} done, {self._rate()}{self._left()}"

    def _rate(self) -> str:
        rate = self._units / max(time.monotonic() - self._begun, 1e-9)
        if not self._units:
            return ""
        if self._unit == BYTES:
            return f"{amount(round(rate))}/s"
        return f"{rate:,.{0 if rate >= 10 else 1}f} {self._unit}/s"

    def _left(self) -> str:
        if not self._items or self._total is None:
            return ""
        seconds = (time.monotonic() - self._begun) * (self._total - self._items) / self._items
        return f", {seconds:,.0f} s left"


class TableProgress(Meter, Watcher):
    """A Watcher that shows the progress of one table."""

    def __init__(self, name: str, unit: str, quiet: bool = False) -> None:
        super().__init__(name, unit, quiet)
        self._waited_for = ""
        self._logged = self._begun
        self.on_row: Callable[[Any], None] = lambda row: None
        self.log: Callable[[str], None] = lambda line: None
        """Takes lines for Prefect's pages: every 30 s, and at the end."""

    def started(self, table: Table, num_items: int) -> None:
        self.begin(num_items, bar=not self._quiet)
        self._logged = self._begun

    def units(self, num_done: int) -> None:
        """Adds finished tokens, steps or answers; shown as a rate."""
        self.advance(units=num_done)

    def committed(self, part: Part, num_items: int) -> None:
        self.advance(items=num_items)

    def row(self, row: Any) -> None:
        """A training step, for the live curve in MLflow."""
        self.units(1)
        self.on_row(row)

    def waits(self, table: StageTable, wanted: MissingPart, holder: Holder | None) -> None:
        """Says so once, unless this process builds the part itself, for another table."""
        if wanted.key == self._waited_for or (holder and holder.is_this_process):
            return
        self._waited_for = wanted.key
        who = f"process {holder.pid} on {holder.host}" if holder else "another run"
        since = f" (since {holder.since})" if holder else ""
        line = f"waiting for part {wanted.key[:12]}, which {who} is building{since}"
        self.log(line)
        say(f"{self._name}: {line}")

    def finished(self) -> None:
        seconds, rate = time.monotonic() - self._begun, self._rate()
        self.end()
        self.log(f"done in {seconds:.1f} s" + (f", {rate}" if rate else ""))

    def advance(self, units: int = 0, items: int = 0) -> None:
        super().advance(units, items)
        if time.monotonic() - self._logged > PLAIN_SECONDS:
            self._logged = time.monotonic()
            self.log(self._state())


@contextmanager
def counting(
    name: str, unit: str, total: int | None = None, quiet: bool = True
) -> Iterator[Callable[[int], None]]:
    """Progress of a block; yields a function that takes how many more units are done. A quiet one
    is seen on a terminal only, and leaves no line."""
    meter = Meter(name, unit, quiet)
    meter.begin(total)

    def advance(num_done: int) -> None:
        meter.advance(units=num_done, items=num_done)

    try:
        yield advance
    finally:
        meter.end()


def say(line: str) -> None:
    """Prints a line on stderr for the user, above the bars."""
    for each in harmless(line).split("\n"):
        BARS.say(each)


def brief(error: BaseException) -> str:
    """An error in one paragraph that may leave the machine: no secret, at most 1,000 characters."""
    return harmless(str(error) or type(error).__name__)[:1000]


def harmless(text: str) -> str:
    """Text for a terminal: no character acts there, and no secret is repeated. It may quote names
    of files, columns and keys, or messages of servers."""
    return "\n".join(printable(line) for line in redacted(text).split("\n"))
