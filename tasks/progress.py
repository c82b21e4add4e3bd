"""Progress of tables: a bar on a terminal, otherwise one plain line every 30 s.

Everything goes to stderr, so that stdout holds only data.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from rdpt_core.report.terminal import printable
from rdpt_core.store.parts import Holder, Part
from settings.secrets import redacted
from tasks.plan import Job
from tasks.stage import Call, Given
from tasks.worker import Watcher

PLAIN_SECONDS = 30.0


class Progress(Watcher):
    """A Watcher that shows the table being built, its progress, rate and remaining time."""

    def __init__(self, name: str, unit: str, quiet: bool = False) -> None:
        self._name, self._unit, self._quiet = name, unit, quiet
        self._terminal = sys.stderr.isatty()
        self._bar: Any = None  # a tqdm bar on a terminal
        self._begun = self._spoken = time.monotonic()
        self._units = self._items = self._total = 0
        self._waited_for = ""
        self.on_row: Callable[[Any], None] = lambda row: None

    def started(self, call: Call | Given, num_items: int) -> None:
        self._begun = self._spoken = time.monotonic()
        self._total = num_items
        if self._terminal and not self._quiet:
            layout = "{desc}: {percentage:3.0f}%|{bar:24}| {elapsed}<{remaining}{postfix}"
            self._bar = tqdm(total=num_items, desc=self._name, bar_format=layout, leave=False)

    def units(self, num_done: int) -> None:
        """Adds finished tokens, steps or answers; shown as a rate."""
        self._units += num_done
        self._show()

    def committed(self, part: Part, num_items: int) -> None:
        self._items += num_items
        if self._bar is not None:
            self._bar.update(num_items)
        self._show()

    def heard(self, row: Any) -> None:
        """Receives a training step, for the live curve in MLflow."""
        self.units(1)
        self.on_row(row)

    def waits(self, call: Call, job: Job, holder: Holder | None) -> None:
        """Reports waiting once, unless this process builds the part itself, for another table."""
        if job.recipe.key == self._waited_for or (holder and holder.is_this_process):
            return
        self._waited_for = job.recipe.key
        who = f"process {holder.pid} on {holder.host}" if holder else "another run"
        since = f" (since {holder.since})" if holder else ""
        say(f"{self._name}: waiting for part {job.recipe.key[:12]}, which {who} is building{since}")

    def finished(self) -> None:
        seconds = time.monotonic() - self._begun
        if self._bar is not None:
            self._bar.close()
        if not self._quiet:
            room = max(68 - len(self._name), 0)  # fits 80 columns, even with longer names
            say(f"{self._name} {self._rate():>{room}} {seconds:8.1f} s")

    def _rate(self) -> str:
        rate = self._units / max(time.monotonic() - self._begun, 1e-9)
        digits = 0 if rate >= 10 else 1
        return f"{rate:,.{digits}f} {self._unit}/s" if self._units else ""

    def _show(self) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(self._rate(), refresh=True)
        elif not self._quiet and time.monotonic() - self._spoken > PLAIN_SECONDS:
            self._spoken = time.monotonic()
            say(f"{self._name}: {self._items} of {self._total} done, {self._rate()}{self._left()}")

    def _left(self) -> str:
        if not self._items:
            return ""
        seconds = (time.monotonic() - self._begun) * (self._total - self._items) / self._items
        return f", {seconds:,.0f} s left"


def say(line: str) -> None:
    """Prints one line to stderr."""
    tqdm.write(harmless(line), file=sys.stderr)


def harmless(text: str) -> str:
    """Text that is safe to print: it may contain names of files, columns and keys, or messages of
    servers. Escapes control characters and removes secrets."""
    return "\n".join(printable(line) for line in redacted(text).split("\n"))


def token_bar(name: str) -> Any:
    """A progress bar of scored tokens, on a terminal; `update` takes the number of new ones."""
    return tqdm(desc=name, unit=" tokens", unit_scale=True, leave=False, disable=None)
