"""A valid experiment as text, and what a test changes in it."""

from __future__ import annotations

from pathlib import Path

from settings.experiment import Experiment
from settings.loading import parse_experiment

PLAIN = {
    "name": '"x"',
    "problems": '{ source = "pocket", limit = 3 }',
    "traces": '{ source = "generate" }',
    "teachers": '[{ name = "t", path = "t" }]',
    "students": '[{ name = "s", path = "s" }]',
    "selectors": '[{ name = "random" }]',
}


def experiment(**changes: str | None) -> Experiment:
    """PLAIN with these keys as TOML; None leaves one out."""
    keys = {key: value for key, value in (PLAIN | changes).items() if value is not None}
    text = "\n".join(f"{key} = {value}" for key, value in keys.items())
    return parse_experiment(text, Path("study.toml"))
