"""Tables that the tests of the tools write and read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flows import cli


def write_rows(path: Path, *rows: dict[str, Any]) -> str:
    """A JSONL file of these rows; its name."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def rows_of_tool(*arguments: str) -> list[dict[str, Any]]:
    """The rows that a tool writes."""
    assert cli.main([*arguments]) == 0
    text = Path(arguments[-1]).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
