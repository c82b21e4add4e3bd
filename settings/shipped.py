"""The experiments that come with rdpt; apart from their schema, which takes a second to import."""

from __future__ import annotations

from pathlib import Path


def shipped() -> dict[str, Path]:
    """The experiments that come with rdpt, by name."""
    folder = Path(__file__).parent / "experiments"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}
