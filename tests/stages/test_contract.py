"""The stage contract, held once for all stages: cached, grown, shared, drifted, damaged."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from rdpt_core.store.parts import Damaged, Store
from rdpt_core.tables.recipe import Unstable, plain
from rdpt_core.tables.rows import Sentence
from tasks.plan import Plan
from tasks.worker import Busy, Worker
from tests.stages import toy_stages


def test_a_second_run_builds_nothing(tmp_path: Path) -> None:
    tables = toy_stages.chain_of(toy_stages.given(range(10)))
    first = toy_stages.build(tmp_path, tables)
    assert Counter(first.parts) == {"traces": 6, "grades": 6, "sentences": 6, "selection": 1}
    assert toy_stages.build(tmp_path, toy_stages.chain_of(toy_stages.given(range(10)))).parts == []


def test_more_samples_repeat_no_part(tmp_path: Path) -> None:
    toy_stages.build(tmp_path, toy_stages.chain_of(toy_stages.given(range(8)), samples=2))
    grown = toy_stages.build(tmp_path, toy_stages.chain_of(toy_stages.given(range(8)), samples=3))
    assert Counter(grown.parts) == {"traces": 2, "grades": 2, "sentences": 2, "selection": 1}


def test_more_problems_repeat_only_the_last_part_that_was_not_full(tmp_path: Path) -> None:
    toy_stages.build(tmp_path, toy_stages.chain_of(toy_stages.given(range(10)), samples=1))
    grown = toy_stages.build(tmp_path, toy_stages.chain_of(toy_stages.given(range(14)), samples=1))
    assert Counter(grown.parts) == {"traces": 2, "grades": 2, "sentences": 2, "selection": 1}


def test_a_changed_parameter_rebuilds_what_follows_from_it_alone(tmp_path: Path) -> None:
    problems, traces, grades, _, picks = toy_stages.chain_of(toy_stages.given(range(8)))
    toy_stages.build(
        tmp_path, [problems, traces, grades, toy_stages.cut(traces=traces, rule="one"), picks]
    )
    other = toy_stages.build(tmp_path, [toy_stages.cut(traces=traces, rule="two"), picks])
    assert other.parts == ["sentences"] * 4


@pytest.mark.fault("F29")
@pytest.mark.parametrize("jump", [-3600.0, 365 * 86400.0])
def test_f29_a_clock_that_jumps_rebuilds_nothing_and_moves_no_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """Half of the tables are built before the clock jumps, which file times then show."""
    tables = toy_stages.chain_of(toy_stages.given(range(8)))
    toy_stages.build(tmp_path / "steady", tables)
    toy_stages.build(tmp_path / "jumps", tables[:2])
    now, now_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: now() + jump)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + int(jump * 1e9))
    for path in (tmp_path / "jumps").rglob("*.*"):
        os.utime(path, (now() + jump, now() + jump))
    assert "traces" not in toy_stages.build(tmp_path / "jumps", tables).parts
    assert toy_stages.build(tmp_path / "jumps", tables).parts == []
    contents = [
        [
            part.content
            for table in tables
            for part in Plan(Store(tmp_path / name)).state(table).parts
        ]
        for name in ("steady", "jumps")
    ]
    assert contents[0] == contents[1]


@pytest.mark.fault("F40")
def test_code_that_changes_no_row_rebuilds_nothing_downstream(tmp_path: Path) -> None:
    """A version bump gives new keys, the same content digests, and everything after it cached."""
    problems, traces, grades, _, _ = toy_stages.chain_of(toy_stages.given(range(8)))
    old = toy_stages.keep(sentences=toy_stages.cut(traces=traces, rule="one"), grades=grades)
    toy_stages.build(tmp_path, [problems, traces, grades, old.tables["sentences"], old])
    new = toy_stages.keep(sentences=toy_stages.cut_again(traces=traces, rule="one"), grades=grades)
    assert toy_stages.build(tmp_path, [new.tables["sentences"], new]).parts == ["sentences"] * 4


def test_a_version_bump_upstream_still_finds_siblings_that_were_cached_before_it(
    tmp_path: Path,
) -> None:
    problems, traces, grades, _, _ = toy_stages.chain_of(toy_stages.given(range(8)))
    pool = toy_stages.keep(sentences=toy_stages.cut(traces=traces, rule="one"), grades=grades)
    toy_stages.build(tmp_path, [problems, traces, grades, pool.tables["sentences"], pool])
    bumped = replace(toy_stages.write, version=2)(**traces.tables, **traces.parameters)
    again = toy_stages.check(problems=problems, traces=bumped)
    pool = toy_stages.keep(sentences=toy_stages.cut(traces=bumped, rule="one"), grades=again)
    tables = [bumped, again, pool.tables["sentences"], pool]
    assert toy_stages.build(tmp_path, tables).parts == ["traces"] * 4


def test_siblings_and_ancestors_are_those_of_the_same_descent(tmp_path: Path) -> None:
    problems, traces, grades, sentences, _ = toy_stages.chain_of(
        toy_stages.given(range(12)), samples=3
    )
    pool = toy_stages.keep(sentences=sentences, grades=grades)  # asserts that the trace ids agree
    journal = toy_stages.build(tmp_path, [problems, traces, grades, sentences, pool])
    assert journal.parts.count("grades") == 18  # `keep` writes rows of grades


def test_a_plan_writes_nothing_and_names_exactly_what_a_run_builds(tmp_path: Path) -> None:
    tables = toy_stages.chain_of(toy_stages.given(range(8)))
    plan = Plan(Store(tmp_path / "store"))
    assert not plan.state(tables[1]).complete
    assert not (tmp_path / "store").exists()
    toy_stages.build(tmp_path / "store", tables[:1])
    missing = Plan(Store(tmp_path / "store")).state(tables[1]).missing
    toy_stages.build(tmp_path / "store", tables[1:2])
    built = {part.key for part in Plan(Store(tmp_path / "store")).state(tables[1]).parts}
    assert {wanted.key for wanted in missing} == built


@pytest.mark.fault("F10")
@pytest.mark.parametrize("damage", ["cut", "empty", "deleted", "flipped"])
def test_a_damaged_part_is_set_aside_and_rebuilt_alone(tmp_path: Path, damage: str) -> None:
    tables = toy_stages.chain_of(toy_stages.given(range(8)))
    toy_stages.build(tmp_path, tables)
    store = Store(tmp_path)
    part = Plan(store).state(tables[3]).parts[1]
    _damage(store.file(part), damage)
    rebuilt = toy_stages.build(tmp_path, tables)
    assert rebuilt.parts == ["sentences"]
    assert list((tmp_path / "quarantine").glob("*.reason"))


@pytest.mark.fault("F10")
def test_a_flipped_bit_under_an_unchanged_mtime_is_found_when_the_bytes_are_read(
    tmp_path: Path,
) -> None:
    tables = toy_stages.chain_of(toy_stages.given(range(4)))
    toy_stages.build(tmp_path, tables)
    store = Store(tmp_path)
    part = Plan(store).state(tables[3]).parts[0]
    status = store.file(part).stat()
    _damage(store.file(part), "flipped")
    os.utime(store.file(part), ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(Damaged, match=part.key):
        store.rows(Sentence, part)
    assert toy_stages.build(tmp_path, tables).parts == ["sentences"]


def test_a_touched_file_whose_bytes_are_the_same_is_still_a_hit(tmp_path: Path) -> None:
    tables = toy_stages.chain_of(toy_stages.given(range(4)))
    toy_stages.build(tmp_path, tables)
    for file in tmp_path.rglob("*.parquet"):
        os.utime(file, (1, 1))
    assert toy_stages.build(tmp_path, tables).parts == []


@pytest.mark.fault("F10")
def test_a_torn_record_is_no_result(tmp_path: Path) -> None:
    tables = toy_stages.chain_of(toy_stages.given(range(4)))
    toy_stages.build(tmp_path, tables)
    part = Plan(Store(tmp_path)).state(tables[2]).parts[0]
    record = tmp_path / "grades" / f"{part.key}.json"
    record.write_bytes(record.read_bytes()[:40])
    assert toy_stages.build(tmp_path, tables).parts == ["grades"]


def test_a_value_without_a_stable_form_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(Unstable, match=r"style\.a\[1\] is a object"):
        plain({"a": [1, object()]}, "style")


@pytest.mark.fault("F14")
def test_who_will_not_wait_is_told_who_builds(tmp_path: Path) -> None:
    problems, traces, *_ = toy_stages.chain_of(toy_stages.given(range(4)), samples=1)
    toy_stages.build(tmp_path, [problems])
    store = Store(tmp_path)
    key = Plan(store).state(traces).missing[0].recipe.key
    worker = Worker(Plan(store), toy_stages.Options(wait=False), toy_stages.Journal())
    with _another_process_building(store, key) as pid, pytest.raises(Busy, match=f"{pid} on"):
        worker.build(traces)


def test_a_part_that_the_same_run_makes_for_another_table_is_waited_for(tmp_path: Path) -> None:
    """Two students whose traces are scored by one model, with `--no-wait`."""
    problems, traces, *_ = toy_stages.chain_of(toy_stages.given(range(4)), samples=1)
    toy_stages.build(tmp_path, [problems])
    store, journal = Store(tmp_path), toy_stages.Journal()
    key = Plan(store).state(traces).missing[0].recipe.key
    worker = Worker(Plan(store), toy_stages.Options(wait=False), journal)
    waiting = threading.Thread(target=worker.build, args=(traces,))
    with store.lock("traces", key):
        waiting.start()
        while not journal.waited and waiting.is_alive():
            time.sleep(0.01)
    waiting.join(timeout=20)
    assert journal.parts == ["traces"]


@contextmanager
def _another_process_building(store: Store, key: str) -> Iterator[int | None]:
    """Yields its id."""
    context = multiprocessing.get_context("fork")
    holds, done = context.Event(), context.Event()

    def hold() -> None:
        with store.lock("traces", key):
            holds.set()
            done.wait(60)

    process = context.Process(target=hold)
    process.start()
    assert holds.wait(20)
    yield process.pid
    done.set()
    process.join()


def _run(root: Path, counts: multiprocessing.Queue[Counter[str]]) -> None:
    counts.put(
        Counter(toy_stages.build(root, toy_stages.chain_of(toy_stages.given(range(40)))).parts)
    )


@pytest.mark.fault("F14")
def test_runs_at_the_same_time_finish_and_build_no_part_twice(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    counts: multiprocessing.Queue[Counter[str]] = context.Queue()
    toy_stages.build(tmp_path, [toy_stages.given(range(40))])
    runs = [context.Process(target=_run, args=(tmp_path, counts)) for _ in range(4)]
    for run in runs:
        run.start()
    built = sum((counts.get(timeout=20) for _ in runs), Counter[str]())
    for run in runs:
        run.join()
    assert built == {"traces": 20, "grades": 20, "sentences": 20, "selection": 1}


def _damage(file: Path, kind: str) -> None:
    data = bytearray(file.read_bytes())
    if kind == "deleted":
        file.unlink()
        return
    if kind == "flipped":
        data[len(data) // 3] ^= 16
    file.write_bytes(bytes({"cut": data[:-7], "empty": bytearray(), "flipped": data}[kind]))
