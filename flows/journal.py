"""The journal of a run: one JSON line per event."""

from __future__ import annotations

import json
import os
import time
import traceback
from pathlib import Path

from settings.secrets import redacted


class Journal:
    """Appends to `logs/<experiment>.jsonl`; a line is on disk when the call returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def note(self, event: str, **values: object) -> None:
        line = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "pid": os.getpid(), "event": event}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(redacted(json.dumps(line | values, default=str)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def failed(self, table: str, error: BaseException) -> None:
        """With the traceback, which the terminal shows only where asked for."""
        self.note(
            "failed",
            table=table,
            error=str(error),
            traceback="".join(traceback.format_exception(error)),
        )
