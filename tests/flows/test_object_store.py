"""A study whose parts lie in an object store, from two workspaces."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from flows.catalogue import publish_catalogue
from flows.commands.verify import verify
from flows.workspace import freeze
from rdpt_core.finetune import training
from rdpt_core.tables.rows import ROWS
from tests.core.models import tiny
from tests.core.store.object_server import serving
from tests.flows.example_experiments import Studio, copying_train


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with serving() as bucket:
        monkeypatch.setenv("RDPT_STORE", f"{bucket}/studies")
        monkeypatch.setattr(training, "train", copying_train)
        yield bucket


def contents(studio: Studio) -> dict[str, list[tuple[str, str]]]:
    """Keys and contents of the parts by table."""
    plan = studio.open().plan
    for table in studio.open().study.tables():
        plan.state(table)
    parts = {(part.table, part.key, part.content) for part in plan.parts()}
    return {row.TABLE: sorted(p[1:] for p in parts if p[0] == row.TABLE) for row in ROWS}


def sums(studio: Studio) -> list[object]:
    opened = studio.open()
    freeze(opened)
    publish_catalogue(opened)
    with duckdb.connect(str(opened.runtime.catalog), read_only=True) as connection:
        labels = "SELECT label, count(*), sum(margin) FROM labelled_sentences GROUP BY ALL"
        results = "SELECT name, metric, value FROM main.results"
        return [sorted(map(str, connection.execute(q).fetchall())) for q in (labels, results)]


def test_a_study_is_resumed_from_an_empty_workspace_without_a_part_repeated(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = Studio(tmp_path / "one"), Studio(tmp_path / "two")
    one.folder.mkdir()
    for seed, name in enumerate(("teacher", "student")):
        tiny.make_qwen(one.folder / name, seed=seed)
    one.write_problems("problems", range(8))
    one.write_problems("bench", range(100, 104))
    shutil.copytree(one.folder, two.folder)
    built = one.build()
    assert built["scores"] > 0
    assert built["students"] > 0
    assert two.build() == Counter()
    assert contents(one) == contents(two)
    assert sums(one) == sums(two)
    monkeypatch.chdir(two.folder)
    assert verify(repair=False) == 0
