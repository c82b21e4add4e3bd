"""Finished batches of an unfinished part, which a kill -9 must not lose.

Each batch is a separate file with its hash in its name; a damaged file is quarantined and its batch
is built again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

from rdpt_core.files.hashing import file_hash
from rdpt_core.files.replacing import sync, temporary
from rdpt_core.machine.abreast import abreast
from rdpt_core.machine.progress import ProgressCallback, silent
from rdpt_core.tables import columns
from tasks.progress import say

R = TypeVar("R")
MOST_ERRORS = 0.01
NOTED = 10
"""Number of reasons kept in a record."""


class Batches(Generic[R]):
    def __init__(self, row: type[R], folder: Path) -> None:
        self._row, self._folder = row, folder
        self.num_found = 0
        """Number of batches that already existed."""

    def kept(self, index: int) -> list[R] | None:
        """The rows of a finished batch; None if it must be built."""
        for path in self._folder.glob(f"batch-{index:05d}-*.parquet"):
            if file_hash(path) == path.stem.rsplit("-", 1)[1]:
                self.num_found += 1
                return columns.read_parquet(self._row, path)
            path.rename(path.with_suffix(".damaged"))
        return None

    def resumed(
        self,
        number: int,
        make: Callable[[int], list[R]],
        width: int = 1,
        progress: ProgressCallback = silent,
    ) -> Iterator[list[R]]:
        """The rows of all batches in order; missing ones are built, `width` at the same time, and
        saved by the thread that builds them."""
        kept = {index: self.kept(index) for index in range(number)}
        progress(0, sum(len(rows) for rows in kept.values() if rows is not None))
        missing = [index for index, rows in kept.items() if rows is None]
        made = abreast(make, missing, width)
        for index in range(number):
            rows = kept.pop(index)
            yield next(made) if rows is None else rows

    def keep(self, index: int, rows: list[Any]) -> None:
        with temporary(self._folder / f"batch-{index:05d}") as new:
            columns.write_parquet(self._row, rows, new)
            sync(new)
            new.rename(self._folder / f"batch-{index:05d}-{file_hash(new)}.parquet")
        sync(self._folder)


class Failed:
    """Items of a part without a usable response of the server: reported and counted if they are
    few.

    A resumed part requests them again; a committed part does not.
    """

    def __init__(self) -> None:
        self._reasons: list[str] = []

    def add(self, reason: str) -> None:
        self._reasons.append(reason)

    def noted(self) -> dict[str, Any]:
        """Entries of the part's record."""
        found: dict[str, Any] = {"errors": len(self._reasons)}
        return found | {"reasons": self._reasons[:NOTED]} if self._reasons else found

    def settle(self, number: int, what: str) -> None:
        """Reports their number. Raises ValueError if it is more than 1% of the part and more than
        one item, or the whole part: then the server is at fault, not the item."""
        count = len(self._reasons)
        if not count:
            return
        said = f"{count} of {number} {what}, such as: {self._reasons[0]}"
        if count > max(1, MOST_ERRORS * number) or count == number:
            raise ValueError(said)
        say(said)
