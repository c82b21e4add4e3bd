"""Experiment files that come with rdpt; apart from their schema, which takes a second to import."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
NAME = '"NAME"'
"""What stands in a template for the experiment's name."""


def shipped() -> dict[str, Path]:
    """The experiments that come with rdpt, by name."""
    return {path.stem: path for path in sorted((HERE / "experiments").glob("*.toml"))}


def template(case: str, name: str) -> str:
    """The text of an experiment file to fill in."""
    text = (HERE / "templates" / f"{case}.toml").read_text(encoding="utf-8")
    return text.replace(NAME, f'"{name}"', 1)
