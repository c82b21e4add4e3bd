"""kill -9 inside the parts that models make: what was finished is kept, and the texts repeat."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from rdpt_core.scoring.forward import Forward
from rdpt_core.store.parts import Store
from tasks.batches import Batches
from tasks.plan import Plan
from tests.faults.commit_points import dies_after
from tests.flows.example_experiments import Studio, studio

__all__ = ["studio"]

CHANGES = {"limit": 48, "samples": 1, "benchmarks": ""}


def _contents(studio: Studio) -> dict[str, list[str]]:
    opened = studio.open(**CHANGES)
    found: dict[str, list[str]] = {}
    for table in opened.study.tables():
        parts = Plan(opened.store).state(table).parts
        found.setdefault(table.name, []).extend(part.content for part in parts)
    return found


def _killed(studio: Studio, arm: Callable[[], None]) -> None:
    """Builds in a child that `arm` prepares to die."""

    def work() -> None:
        arm()
        studio.build(**CHANGES)

    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL


@pytest.fixture
def golden(studio: Studio, tmp_path: Path) -> dict[str, list[str]]:
    """What an uninterrupted run makes, in another workspace."""
    studio.build(**CHANGES)
    found = _contents(studio)
    (tmp_path / "workspace").rename(tmp_path / "uninterrupted")
    return found


@pytest.mark.fault("F01")
def test_a_killed_generation_keeps_its_batches_and_samples_the_same_texts(
    studio: Studio, golden: dict[str, list[str]]
) -> None:
    _killed(studio, dies_after(Batches, "keep", 1))
    store = Store(studio.folder / "workspace" / "store")
    assert len(list(store.root.glob("traces/.work/*/batch-*.parquet"))) == 1
    studio.build(**CHANGES)
    assert _contents(studio) == golden
    kept = [record.made["batches_kept_from_before"] for record in store.records("traces")]
    assert sum(kept) == 1


@pytest.mark.fault("F01", "F10")
def test_a_batch_that_was_torn_is_set_aside_and_made_again(
    studio: Studio, golden: dict[str, list[str]]
) -> None:
    _killed(studio, dies_after(Batches, "keep", 1))
    (batch,) = (studio.folder / "workspace").rglob("batch-*.parquet")
    batch.write_bytes(batch.read_bytes()[:-20])
    studio.build(**CHANGES)
    assert _contents(studio) == golden


@pytest.mark.fault("F03")
def test_a_killed_scoring_keeps_the_scores_of_other_models_and_parts(
    studio: Studio, golden: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RDPT_WORKERS", "1")  # the first part is whole before the second begins
    _killed(studio, dies_after(Forward, "_forward", 2))
    store = Store(studio.folder / "workspace" / "store")
    before = {record.part.key for record in store.records("scores")}
    assert len(before) == 1
    rebuilt = studio.build(**CHANGES)
    assert rebuilt["scores"] == 3
    assert _contents(studio) == golden


@pytest.mark.fault("F03")
def test_a_killed_scoring_keeps_its_finished_packs(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RDPT_WORKERS", "1")
    monkeypatch.setattr(Forward, "packs", lambda self, sequences: [[i] for i in sequences])
    studio.build(**CHANGES)
    golden = _contents(studio)
    (tmp_path / "workspace").rename(tmp_path / "uninterrupted")
    _killed(studio, dies_after(Forward, "_forward", 5))
    studio.build(**CHANGES)
    assert _contents(studio) == golden
    store = Store(studio.folder / "workspace" / "store")
    kept = [record.made["batches_kept_from_before"] for record in store.records("scores")]
    assert sorted(kept)[-2:] == [0, 4], "of the fifth pack, only the file was missing"
