"""Progress of one piece of work: a bar on a terminal, otherwise one plain line every 30 s.

Everything goes to stderr, so that stdout holds only data.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from rich.cells import cell_len

from rdpt_core.machine.progress import ProgressCallback
from rdpt_core.machine.resources import amount
from rdpt_core.store.holding import Holder
from rdpt_core.store.record import Part
from rdpt_core.text.printable import printable
from settings.secrets import redacted
from tasks.bars import BARS, Bar
from tasks.pace import span
from tasks.plan import MissingPart
from tasks.stage import StageTable, Table
from tasks.worker import Watcher

PLAIN_SECONDS = 30.0
LINE = 80
"""Columns of the line that ends a table's work."""
LEAST_SECONDS = 1.0
FEWEST_UNITS = 2
"""A rate of less says nothing."""
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

    @property
    def name(self) -> str:
        return self._name

    def begin(self, total: int | None, bar: bool = True) -> None:
        self._begun = self._spoken = time.monotonic()
        self._total = total
        self._bar = BARS.open(self._name, total) if bar else None

    def advance(self, units: int = 0, items: int = 0) -> None:
        self._units += units
        self._items += items
        if self._bar is not None:
            self._bar.show(*self._shown())
        elif self._speaks and time.monotonic() - self._spoken > PLAIN_SECONDS:
            self._spoken = time.monotonic()
            say(f"{self._name}: {self._state()}")

    @property
    def _speaks(self) -> bool:
        return not self._quiet

    def _shown(self) -> tuple[float, str]:
        """How much of the bar is full, and what stands behind it."""
        return self._items, f"{self._rate()}{self._left()}"

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    def end(self) -> None:
        """Erases the bar; unless the meter is quiet, one line says how long the work took."""
        self.erase()
        if not self._quiet:
            took = f"{self.seconds:8.1f} s"
            room = max(LINE - cell_len(f"{self._name} {took} "), 0)
            say(f"{self._name} {self._rate():>{room}} {took}")

    def erase(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _state(self) -> str:
        if self._total is None:
            return f"{self._units:,} {self._unit}, {self._rate()}"
        return f"{self._items} of {self._total} done, {self._rate()}{self._left()}"

    def _rate(self) -> str:
        """Empty where it would mean nothing: of a moment, or of a single unit."""
        seconds = self.seconds
        if self._units < FEWEST_UNITS or seconds < LEAST_SECONDS:
            return ""
        rate = self._units / seconds
        if self._unit == BYTES:
            return f"{amount(round(rate))}/s"
        return f"{rate:,.{0 if rate >= 10 else 1}f} {self._unit}/s"

    def _left(self) -> str:
        if not self._items or self._total is None:
            return ""
        seconds = self.seconds * (self._total - self._items) / self._items
        return f", ~{span(seconds)}" if self.seconds >= LEAST_SECONDS else ""


class Overview(Protocol):
    """Takes what happens to the tables of a run, and shows all of it (`overview.py`)."""

    def begun(self, progress: TableProgress) -> None: ...
    def built(self, table: Table, part: Part) -> None: ...
    def ended(self, progress: TableProgress, is_finished: bool) -> None: ...


class TableProgress(Meter, Watcher):
    """A Watcher that shows the progress of one table: a bar of its own while it is built."""

    def __init__(
        self, name: str, unit: str, quiet: bool = False, overview: Overview | None = None
    ) -> None:
        super().__init__(name, unit, quiet)
        self._overview = overview
        self._waited_for = ""
        self._logged = self._begun
        self._cap = 0
        """Most units that the parts may take; 0 where it is unknown."""
        self._num_rows = 0
        """Items of the parts that were committed."""
        self.table: Table | None = None
        self.on_row: Callable[[Any], None] = lambda row: None
        self.log: Callable[[str], None] = lambda line: None
        """Takes lines for Prefect's pages: every 30 s, and at the end."""

    def started(self, table: Table, num_items: int) -> None:
        self.table = table
        self._cap = num_items * _most_tokens(table)
        self.begin(num_items, bar=not self._quiet)
        self._logged = self._begun
        self.advance()
        if self._overview is not None:
            self._overview.begun(self)

    def units(self, num_done: int, num_items: int = 0) -> None:
        """Adds finished tokens, steps or answers, and the items finished with them."""
        self.advance(num_done, num_items)

    def expects(self, num_units: int) -> None:
        self._cap += num_units
        self.advance()

    def committed(self, part: Part, num_items: int) -> None:
        self._num_rows += part.num_rows
        if self._overview is not None and self.table is not None:
            self._overview.built(self.table, part)
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
        rate = self._rate()
        self.log(f"done in {self.seconds:.1f} s" + (f", {rate}" if rate else ""))
        if self._overview is None:
            self.end()
        else:
            self._overview.ended(self, is_finished=True)

    def abandoned(self) -> None:
        """Erases the bar of a table that could not be built; nothing where it was."""
        if self._overview is not None:
            self._overview.ended(self, is_finished=False)

    def advance(self, units: int = 0, items: int = 0) -> None:
        super().advance(units, items)
        if time.monotonic() - self._logged > PLAIN_SECONDS:
            self._logged = time.monotonic()
            self.log(f"{self.counts}{self._left()}")

    @property
    def counts(self) -> str:
        """What is done: tokens against the most that there may be, steps, or items."""
        if self._cap and self._unit == "tokens":
            return f"{self._units:,} of <= {self._cap:,} tokens"
        if self._cap:
            return f"{self._units:,} of {self._cap:,} {self._unit}"
        return f"{self._items:,} of {self._total or 0:,}"

    @property
    def done_in_parts(self) -> float:
        """Steps or rows of parts that are not committed yet."""
        done = self._units if self._unit == "steps" else self._items
        return float(max(done - self._num_rows, 0))

    @property
    def _speaks(self) -> bool:
        """The overview of a run speaks for all its tables."""
        return self._overview is None and super()._speaks

    @property
    def share(self) -> float:
        """What is done of the whole. Texts mostly end before their cap, so items say more once
        there are any."""
        of_units = self._units / self._cap if self._cap else 0.0
        return min(max(self._items / self._total if self._total else 0.0, of_units), 1.0)

    def _shown(self) -> tuple[float, str]:
        return self.share * (self._total or 0), f"{self.counts}{self._left()}"


def _most_tokens(table: Table) -> int:
    """The most tokens of an item that a model generates."""
    sampling = table.parameters.get("sampling") if isinstance(table, StageTable) else None
    return int(sampling.max_new_tokens) if sampling is not None else 0


@contextmanager
def counting(
    name: str, unit: str, total: int | None = None, quiet: bool = True
) -> Iterator[ProgressCallback]:
    """Progress of a block; yields a function that takes how many more units are done. A quiet one
    is seen on a terminal only, and leaves no line."""
    meter = Meter(name, unit, quiet)
    meter.begin(total)

    def advance(num_done: int, num_items: int = 0) -> None:
        meter.advance(units=num_done, items=num_done)

    try:
        yield advance
    finally:
        meter.end()


@contextmanager
def quietly() -> Iterator[None]:
    """No bar and no line while the block runs, but warnings and errors."""
    before, BARS.quiet = BARS.quiet, True
    try:
        yield
    finally:
        BARS.quiet = before


def say(line: str, urgent: bool = False) -> None:
    """Prints a line on stderr for the user, above the bars. Urgent are errors; with warnings, they
    are what `--quiet` leaves."""
    if BARS.quiet and not urgent and not line.startswith("warning"):
        return
    for each in harmless(line).split("\n"):
        BARS.say(each)


def brief(error: BaseException) -> str:
    """An error in one paragraph that may leave the machine: no secret, at most 1,000 characters."""
    return harmless(str(error) or type(error).__name__)[:1000]


def harmless(text: str) -> str:
    """Text for a terminal: no character acts there, and no secret is repeated. It may quote names
    of files, columns and keys, or messages of servers."""
    return "\n".join(printable(line) for line in redacted(text).split("\n"))
