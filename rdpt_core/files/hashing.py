"""The hash that shows whether a file holds what was written."""

from __future__ import annotations

from pathlib import Path

import xxhash


def file_hash(path: Path) -> str:
    """xxh3_128 of the content, as 32 hex digits."""
    state = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()
