"""Sources: read once whoever asks, remembered, and known by what they hold."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rdpt_core.sources.problems import FileSource
from rdpt_core.sources.traces import TraceSource
from rdpt_core.store.parts import Store
from tasks import sources
from tasks.plan import Plan


def write_import(folder: Path, num_problems: int = 10) -> TraceSource:
    rows = [
        {"problem": f"What is {n} + 1?", "answer": str(n + 1), "trace": f"It is {n + 1}{'!' * k}"}
        for n in range(num_problems)
        for k in range(2)
    ]
    lines = [json.dumps(row) for row in rows]
    (folder / "traces.jsonl").write_text("\n".join([*lines, '{"problem": "cut']) + "\n")
    return TraceSource(path="traces.jsonl", delimiters="none")


def test_an_import_gives_problems_traces_and_rejects_of_one_descent(tmp_path: Path) -> None:
    rule = write_import(tmp_path)
    problems, traces = sources.imported(rule, 4, tmp_path)
    rejects = sources.aside(rule, 4, tmp_path)[0]
    store = Store(tmp_path / "store")
    problems.read(store)
    plan = Plan(store)
    assert [part.num_rows for part in plan.state(problems).parts] == [4, 4, 2]
    assert [part.num_rows for part in plan.state(traces).parts] == [4, 4, 4, 4, 2, 2]
    assert [part.num_rows for part in plan.state(rejects).parts] == [1]
    assert list(plan.state(problems).places) == [(0,), (1,), (2,)]
    assert list(plan.state(traces).places) == [(n, k) for n in range(3) for k in range(2)]


@pytest.mark.fault("F14")
def test_readers_at_the_same_time_commit_each_part_once(tmp_path: Path) -> None:
    rule = write_import(tmp_path, 40)
    problems, traces = sources.imported(rule, 4, tmp_path)
    tables = [problems, traces, sources.aside(rule, 4, tmp_path)[0]] * 4
    store = Store(tmp_path / "store")
    with ThreadPoolExecutor(len(tables)) as pool:
        list(pool.map(lambda given: given.read(store), tables))
    assert len(list(store.root.glob("traces/*.json"))) == 20
    assert not list(store.root.rglob("*.tmp"))


@pytest.mark.fault("F11")
def test_a_lost_part_of_a_source_that_is_remembered_is_read_again_alone(tmp_path: Path) -> None:
    problems, traces = sources.imported(write_import(tmp_path), 4, tmp_path)
    store = Store(tmp_path / "store")
    problems.read(store)
    before = {path: path.stat().st_mtime_ns for path in store.root.glob("*/*.parquet")}
    lost = store.file(Plan(store).state(traces).parts[1])
    lost.unlink()
    assert not Plan(store).state(traces).complete
    traces.read(store)
    assert Plan(store).state(traces).complete
    after = {path: path.stat().st_mtime_ns for path in store.root.glob("*/*.parquet")}
    assert {path for path in before if after[path] != before[path]} == {lost}


def test_a_plan_sees_the_parts_that_reading_commits_and_writes_none(tmp_path: Path) -> None:
    problems, traces = sources.imported(write_import(tmp_path), 4, tmp_path)
    store = Store(tmp_path / "store")
    seen = Plan(store, peek=True).state(traces)
    assert not seen.complete
    assert not store.root.exists()
    problems.read(store)
    committed = Plan(store).state(traces)
    assert list(seen.places) == list(committed.places)
    assert [(p.key, p.content) for p in seen.parts] == [(p.key, p.content) for p in committed.parts]


@pytest.mark.fault("F29")
def test_neither_path_nor_time_is_identity_but_content_is(tmp_path: Path) -> None:
    rule = write_import(tmp_path)
    first = sources.imported(rule, 4, tmp_path)[0].digest
    os.utime(tmp_path / "traces.jsonl", (1, 1))
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(tmp_path / "traces.jsonl", tmp_path / "elsewhere")
    assert sources.imported(rule, 4, tmp_path)[0].digest == first
    assert sources.imported(rule, 4, tmp_path / "elsewhere")[0].digest == first
    write_import(tmp_path, 11)
    assert sources.imported(rule, 4, tmp_path)[0].digest != first


def test_a_source_without_a_usable_problem_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text('{"problem": ""}\n')
    given = sources.problems(FileSource(source="file", path="empty.jsonl"), 4, tmp_path)
    with pytest.raises(ValueError, match="gave no problem"):
        given.read(Store(tmp_path / "store"))


def test_the_account_of_a_source_is_the_same_planned_read_and_cached(tmp_path: Path) -> None:
    rule = write_import(tmp_path)
    store = Store(tmp_path / "store")
    source = sources.source_of(rule, 4, tmp_path)
    planned = source.account(store)
    assert not store.root.exists()
    source.given("traces").read(store)
    cached = sources.source_of(rule, 4, tmp_path).account(store)
    assert planned == cached
    counts = {(row.role, row.became): row.num for row in cached}
    assert counts["rows", "used"] == counts["traces", "used"] == 20
    assert counts["rows", "rejected"] == counts["trace", "rejected"] == 1
    (part,) = Plan(store).state(source.given("accounts")).parts
    store.file(part).write_bytes(b"damaged")
    assert source.account(store) == cached


def test_what_a_companion_holds_is_identity_and_its_place_is_not(tmp_path: Path) -> None:
    write_import(tmp_path)
    (tmp_path / "tokens.jsonl").write_text('{"id": "a", "token_ids": [1], "logprobs": [-1]}\n')
    shutil.copy(tmp_path / "tokens.jsonl", tmp_path / "same.jsonl")

    def digest(name: str) -> str:
        rule = TraceSource.model_validate({"path": "traces.jsonl", "companion": {"path": name}})
        return sources.imported(rule, 4, tmp_path)[0].digest

    first = digest("tokens.jsonl")
    assert digest("same.jsonl") == first
    (tmp_path / "same.jsonl").write_text('{"id": "b", "token_ids": [1], "logprobs": [-1]}\n')
    assert digest("same.jsonl") != first
