"""A small study that the tests of a verb may change, built once and copied for each."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.catalogue import publish_catalogue
from flows.workspace import freeze
from rdpt_core.finetune import training
from tests.core.models import tiny
from tests.flows.example_experiments import Studio, copying_train


@pytest.fixture(scope="session")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """A small study, built, frozen and in the catalogue."""
    studio = Studio(tmp_path_factory.mktemp("a study"))
    for seed, name in enumerate(("teacher", "student", "other")):
        tiny.make_qwen(studio.folder / name, seed=seed)
    studio.write_problems("problems", range(8))
    studio.write_problems("bench", range(100, 104))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "train", copying_train)
        studio.build()
    freeze(studio.open())
    publish_catalogue(studio.open())
    return studio


@pytest.fixture
def here(complete: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    """A copy of it, which is the current workspace."""
    shutil.copytree(complete.folder, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("RDPT_THREADS", "1")
    monkeypatch.setattr(training, "train", copying_train)
    studio = Studio(tmp_path / "copy")
    freeze(studio.open())
    publish_catalogue(studio.open())
    return studio
