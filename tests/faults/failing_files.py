"""The k-th operation on a file fails, as SQLite tests itself: for k = 1, 2, ... until none is left.

Python's own calls are wrapped, and the functions that write through a library; what a library does
inside is one operation here, of which half is done.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rdpt_core.tables import columns

CALLS = ("fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "pwrite")


class Operations:
    """Counts operations; the `number`-th one raises an OSError, or none where that is 0."""

    def __init__(self, number: int, errno: int) -> None:
        self.number, self.errno = number, errno
        self.count, self.failed = 0, ""
        self._lock = threading.Lock()

    def fails(self, name: str) -> bool:
        with self._lock:
            self.count += 1
            if self.count == self.number:
                self.failed = name
            return self.count == self.number

    def error(self, place: object) -> OSError:
        return OSError(self.errno, os.strerror(self.errno), place)

    def _wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if self.fails(name):
                raise self.error(arguments[0] if isinstance(arguments[0], str | Path) else None)
            return function(*arguments, **named)

        return call

    def _write(self, write: Callable[..., Any]) -> Callable[..., Any]:
        """Half of it is on the disk when it fails."""

        def call(path: Path, content: Any, *arguments: Any, **named: Any) -> Any:
            if self.fails("write"):
                write(path, content[: len(content) // 2], *arguments, **named)
                raise self.error(str(path))
            return write(path, content, *arguments, **named)

        return call

    def _write_parquet(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def call(row: type, rows: Any, path: Path) -> None:
            fails = self.fails("write_parquet")
            write(row, rows, path)
            if fails:
                os.truncate(path, path.stat().st_size // 2)
                raise self.error(str(path))

        return call


@contextmanager
def failing(number: int, errno: int) -> Iterator[Operations]:
    """Within, the `number`-th operation on a file fails."""
    operations = Operations(number, errno)
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            patch.setattr(os, name, operations._wrapped(name, getattr(os, name)))
        for name in ("write_bytes", "write_text"):
            patch.setattr(Path, name, operations._write(getattr(Path, name)))
        written = operations._write_parquet(columns.write_parquet)
        patch.setattr(columns, "write_parquet", written)
        yield operations
