"""Shared fixtures: a small complete study for queries, built once."""

from __future__ import annotations

import pytest

from flows.catalogue import publish_catalogue
from flows.workspace import Opened, freeze
from rdpt_core.finetune import training
from tests.core.models import tiny
from tests.flows.example_experiments import STUDENT, Studio, copying_train

TWO_ARMS = STUDENT.format(name="student") + '[[selectors]]\nname = "random"\n'


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """Two arms and their baselines."""
    studio = Studio(tmp_path_factory.mktemp("a study"))
    for seed, name in enumerate(("teacher", "student")):
        tiny.make_qwen(studio.folder / name, seed=seed)
    studio.write_problems("problems", range(12))
    studio.write_problems("bench", range(100, 108))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "train", copying_train)
        studio.build(students=TWO_ARMS)
    opened = studio.open(students=TWO_ARMS)
    freeze(opened)
    publish_catalogue(opened)
    return opened


@pytest.fixture
def study(built: Opened, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """The same study, from a working directory in which `workspace/` is its workspace."""
    monkeypatch.chdir(built.base)
    for name in ("RDPT_WORKSPACE", "RDPT_TRACKING"):
        monkeypatch.delenv(name, raising=False)
    return built
