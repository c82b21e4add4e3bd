"""Parts that are made at the same time: as many as there are workers, and the same ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rdpt_core.models.spec import ModelSpec, Sampling
from rdpt_core.store.parts import Store
from rdpt_core.tables.rows import Problem, Trace
from settings import runtime
from tasks import models, stopping, traces
from tasks.models import Model
from tasks.plan import Plan
from tasks.stage import StageTable, stage
from tasks.turns import Turns
from tasks.worker import Worker
from tests.core.models import tiny
from tests.stages import toy_stages


@dataclass
class Seen:
    """How many parts were under way at the same time."""

    wanted: int
    most: int = 0
    now: set[tuple[str, int]] = field(default_factory=set)
    models: int = 0
    """Most models of which parts were under way at the same time."""
    changed: threading.Condition = field(default_factory=threading.Condition)

    def inside(self, style: str) -> None:
        """Stays until as many are there as ever may be, and a moment for one too many."""
        me = (style, threading.get_ident())
        with self.changed:
            self.now.add(me)
            self.most = max(self.most, len(self.now))
            self.models = max(self.models, len({name for name, _ in self.now}))
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.most >= self.wanted, timeout=10)
        time.sleep(0.05)
        with self.changed:
            self.now.remove(me)


@dataclass(frozen=True)
class ToyModel:
    style: str
    seen: Seen = field(compare=False)
    is_remote: bool = False
    has_weights: bool = True

    def identity(self) -> str:
        return self.style

    def parts_at_once(self, runtime: Any) -> int:
        return int(runtime.workers)


@stage("traces", version=1, row=Trace, over="problems", each="sample_index")
def sample(problems: list[Problem], sample_index: int, model: ToyModel) -> Iterator[Trace]:
    model.seen.inside(model.style)
    write = toy_stages.write.function
    yield from write(problems=problems, sample_index=sample_index, style=model.style)


def tables(seen: Seen, **model: bool) -> list[StageTable]:
    problems = toy_stages.given(range(8))
    return [
        sample(problems=problems, sample_index=(0, 1, 2), model=ToyModel(style, seen, **model))
        for style in ("it is", "I say")
    ]


def build(root: Path, tables: list[StageTable], workers: int) -> list[str]:
    """All tables at the same time, as a run makes them; the contents of the parts."""
    store, turns = Store(root), Turns(workers)
    tables[0].tables["problems"].read(store)  # type: ignore[union-attr]
    runtime = toy_stages.Options(workers=workers)
    threads = [
        threading.Thread(
            target=Worker(Plan(store), runtime, toy_stages.Journal(), turns=turns).build, args=[c]
        )
        for c in tables
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [part.content for table in tables for part in Plan(store).state(table).parts]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_as_many_parts_are_made_at_once_as_there_are_workers(tmp_path: Path, workers: int) -> None:
    seen = Seen(workers)
    build(tmp_path, tables(seen), workers)
    assert (seen.most, seen.models) == (workers, 1), "one model is in memory at a time"


def test_a_model_that_is_not_loaded_here_waits_for_no_other(tmp_path: Path) -> None:
    seen = Seen(12)
    build(tmp_path, tables(seen, has_weights=False), workers=12)
    assert (seen.most, seen.models) == (12, 2)


def test_a_server_takes_none_of_the_workers(tmp_path: Path) -> None:
    seen = Seen(2)
    build(tmp_path, tables(seen, has_weights=False, is_remote=True), workers=1)
    assert seen.most == 2, "both tables at once, each with its own window of requests"


def test_the_number_of_workers_moves_nothing(tmp_path: Path) -> None:
    contents = [build(tmp_path / str(n), tables(Seen(1)), n) for n in (1, 2, 3)]
    assert len(contents[0]) == 12
    assert contents[0] == contents[1] == contents[2]


@pytest.mark.fault("F27")
def test_who_waits_for_a_turn_hears_that_the_run_was_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns = Turns(1)
    with turns.slot():
        monkeypatch.setattr(stopping, "_arrived", [15])
        with pytest.raises(stopping.Stopped), turns.slot():
            pass


def test_a_model_writes_the_same_texts_whatever_the_number_of_workers(tmp_path: Path) -> None:
    tiny.make_qwen(tmp_path / "qwen")
    problems = toy_stages.given(range(12))
    contents = []
    for workers in (1, 3):
        table = traces.sample(
            problems=problems,
            model=Model(ModelSpec(path="qwen"), tmp_path),
            sampling=Sampling(max_new_tokens=12),
            seed=3,
            sample_index=(0, 1),
        )
        contents.append(build(tmp_path / str(workers), [table], workers))
    assert len(contents[0]) == 6
    assert contents[0] == contents[1]


def test_workers_follow_the_machine_unless_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for processors, workers in ((1, 1), (2, 2), (64, 4)):
        monkeypatch.setattr(runtime, "num_processors", lambda processors=processors: processors)
        assert runtime.Runtime(device="cpu").workers == workers
        assert runtime.Runtime(device="cuda").workers == 1, "one GPU holds one model"
        assert runtime.Runtime(device="cuda", workers=3).workers == 3


@pytest.mark.parametrize(
    ("dtype", "numerics", "units", "device", "parts"),
    [
        ("float32", "exact", True, "cpu", 3),
        ("float32", "exact", True, "cuda", 1),
        ("float32", "compiled", True, "cpu", 1),
        ("bfloat16", "exact", True, "cpu", 1),
        ("bfloat16", "exact", False, "cpu", 3),
    ],
)
def test_parts_share_a_model_only_where_their_passes_are_apart(
    dtype: Any,
    numerics: Any,
    units: bool,
    device: Any,
    parts: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(models, "has_units", lambda: units)
    model = Model(ModelSpec(path="m", dtype=dtype), Path(), numerics=numerics)
    assert model.parts_at_once(runtime.Runtime(device=device, workers=3)) == parts
