"""The environment of every test: no settings of the user, no network, no telemetry."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import flows  # noqa: F401 - drops variables of the shell, and later none of those set here

ROOT = Path(__file__).resolve().parents[1]

# Set before any test module imports a library that reads them once.
os.environ.update(
    {
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MPLBACKEND": "Agg",
        # Two threads in each of two test processes would spin while they wait for each other.
        "OMP_NUM_THREADS": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "TOKENIZERS_PARALLELISM": "false",
    }
)


SLOWEST = ("tutorials", "faults", "flows", "pocket")
"""Folders of tests, slowest files first."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--network", action="store_true", help="also run what needs the internet")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Files are distributed in this order (`--no-loadscope-reorder`): the slowest come first,
    # so that no process ends with a slow file alone.
    items.sort(key=_is_short)
    for item in items:
        if item.get_closest_marker("network") and not config.getoption("--network"):
            item.add_marker(pytest.mark.skip(reason="needs the internet: give --network"))
        if item.get_closest_marker("gpu") and not _has_gpu():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def _is_short(item: pytest.Item) -> int:
    """Index of a test's folder among the slow ones; runs of the command line and trainings take
    minutes per file, the rest seconds."""
    folder = item.path.parent.name
    return SLOWEST.index(folder) if folder in SLOWEST else len(SLOWEST)


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture(autouse=True)
def _no_settings_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("RDPT_", "MLFLOW_TRACKING_", "PREFECT_API_")):
            monkeypatch.delenv(name)


@pytest.fixture
def root() -> Path:
    """The project's root folder."""
    return ROOT


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working directory of the test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
