"""One plan: linear, kept up by what is committed, and truthful about where parts stand."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rdpt_core.store.parts import Store
from rdpt_core.store.record import Part
from rdpt_core.tables.rows import Grade, Outcome, Problem, Sentence, Trace
from tasks.plan import Plan
from tasks.stage import StageTable, stage
from tasks.worker import Worker
from tests.stages import toy_stages


class Counting(Store):
    """A store that counts how often each part is asked for."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked: Counter[tuple[str, str]] = Counter()

    def find(self, table: str, key: str) -> Part | None:
        self.asked[table, key] += 1
        return super().find(table, key)


@stage("traces", version=1, row=Trace, over="problems")
def silent(problems: list[Problem]) -> Iterator[Trace]:
    """A model that writes nothing: parts without rows, which all have one content."""
    yield from ()


@stage("pool", version=1, row=Grade, over="sentences")
def join(
    problems: list[Problem], sentences: list[Sentence], grades: list[Grade]
) -> Iterator[Grade]:
    for problem in problems:
        yield Grade(problem.problem_id, Outcome.CORRECT, str(len(grades)))


@pytest.mark.parametrize("num_blocks", [5, 50])
def test_a_part_is_looked_up_once_however_many_tables_read_it(
    tmp_path: Path, num_blocks: int
) -> None:
    tables = toy_stages.chain_of(toy_stages.given(range(2 * num_blocks), block=2))
    tables.append(toy_stages.keep(sentences=tables[3], grades=tables[2]))
    toy_stages.build(tmp_path, tables)
    store = Counting(tmp_path)
    plan = Plan(store)
    for _ in range(3):
        assert all(plan.state(table).complete for table in reversed(tables))
    assert set(store.asked.values()) == {1}
    assert len(store.asked) == num_blocks + 4 * 2 * num_blocks + 1


def test_a_run_asks_for_a_part_as_often_as_building_it_needs(tmp_path: Path) -> None:
    """Once in the plan, once before its lock is asked for and once under it; never again, though
    eight later tables read the parts of the first."""
    problems, traces, *_ = toy_stages.chain_of(toy_stages.given(range(12)))
    later = [toy_stages.cut(traces=traces, rule=str(n)) for n in range(8)]
    store = Counting(tmp_path)
    plan = Plan(store)
    for table in [problems, traces, *later]:
        assert not plan.state(table).complete
        Worker(plan, toy_stages.Options(), toy_stages.Journal()).build(table)
        assert plan.state(table).complete
    asked = {key: number for key, number in store.asked.items() if key[0] != "problems"}
    assert set(asked.values()) == {3}


def test_a_plan_of_tables_that_do_not_exist_looks_at_each_once(tmp_path: Path) -> None:
    """Each has two ways up to the source, so that looking again would double with every table."""
    looked: list[str] = []
    problems = toy_stages.given(range(8))
    unread = replace(problems, parts=lambda store: looked.append("problems"))
    traces = toy_stages.write(problems=unread, sample_index=(0,), style="it is")
    grades: Any = toy_stages.check(problems=unread, traces=traces)
    sentences = toy_stages.cut(traces=traces, rule="one")
    for _ in range(30):
        grades = toy_stages.keep(sentences=sentences, grades=grades)
    assert Plan(Store(tmp_path)).state(grades).is_blocked
    assert looked == ["problems"]


def test_parts_of_one_content_stand_where_the_plan_says(tmp_path: Path) -> None:
    """Two blocks whose traces have no rows share their parts, and still meet their own problems."""
    problems = toy_stages.given(range(8))
    traces = silent(problems=problems)
    grades = toy_stages.check(problems=problems, traces=traces)
    sentences = toy_stages.cut(traces=traces, rule="one")
    pool = join(problems=problems, sentences=sentences, grades=grades)
    journal = toy_stages.build(tmp_path, [problems, traces, grades, sentences, pool])
    plan = Plan(Store(tmp_path))
    places = plan.state(sentences).places
    assert list(places) == [(0,), (1,)]
    assert places[0,] == places[1,]
    assert journal.parts.count("sentences") == 1
    names = [
        {row.trace_id for row in plan.store.rows(Grade, part)} for part in plan.state(pool).parts
    ]
    assert names == [
        {toy_stages.problem(n).problem_id for n in block} for block in (range(4), range(4, 8))
    ]


def test_one_block_that_stands_twice_is_one_part_at_two_places(tmp_path: Path) -> None:
    problems = toy_stages.given(range(4))

    def twice(store: Store) -> dict[tuple[int, ...], Part] | None:
        parts = problems.parts(store)
        return None if parts is None else {(0,): parts[0,], (1,): parts[0,]}

    doubled = replace(problems, source="doubled", axes=("doubled",), parts=twice)
    traces = toy_stages.write(problems=doubled, sample_index=(0, 1), style="it is")
    grades = toy_stages.check(problems=doubled, traces=traces)
    journal = toy_stages.build(tmp_path, [doubled, traces, grades])
    assert Counter(journal.parts) == {"traces": 2, "grades": 2}
    assert list(Plan(Store(tmp_path)).state(grades).places) == [(0, 0), (1, 0), (0, 1), (1, 1)]


def test_what_another_run_commits_meanwhile_is_found_and_joins(tmp_path: Path) -> None:
    problems, traces, grades, *_ = toy_stages.chain_of(toy_stages.given(range(8)))
    toy_stages.build(tmp_path, [problems])
    plan = Plan(Store(tmp_path))
    assert len(plan.state(traces).missing) == 4
    toy_stages.build(tmp_path, [traces])  # a plan of its own, as another process has
    journal = toy_stages.Journal()
    worker = Worker(plan, toy_stages.Options(), journal)
    worker.build(traces)
    assert journal.parts == []
    assert plan.state(traces).complete
    worker.build(grades)
    assert journal.parts == ["grades"] * 4


def test_tables_that_are_built_in_several_threads_share_one_plan(tmp_path: Path) -> None:
    problems, traces, grades, sentences, _ = toy_stages.chain_of(toy_stages.given(range(40)))
    pool = toy_stages.keep(sentences=sentences, grades=grades)
    plan = Plan(Store(tmp_path))
    done: dict[str, threading.Event] = {}

    def build(table: StageTable) -> None:
        for needed in table.needs():
            assert done[needed.digest].wait(30)
        Worker(plan, toy_stages.Options(workers=3), toy_stages.Journal()).build(table)
        done[table.digest].set()

    problems.read(plan.store)
    tables = [pool, sentences, grades, traces]
    done |= {table.digest: threading.Event() for table in [problems, *tables]}
    done[problems.digest].set()
    assert plan.state(pool).is_blocked
    threads = [threading.Thread(target=build, args=[table]) for table in tables]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(plan.state(table).complete for table in [problems, *tables])
    assert len(plan.state(pool).parts) == 20


def test_a_part_is_placed_by_the_plan_and_its_record_says_where_it_was_made(
    tmp_path: Path,
) -> None:
    """Two experiments share a part at different places, as after `shuffle` or another limit."""
    tables = toy_stages.chain_of(toy_stages.given(range(8)))
    toy_stages.build(tmp_path, tables)
    later = toy_stages.chain_of(toy_stages.given(range(4, 8)))
    assert toy_stages.build(tmp_path, later).parts == ["selection"]
    plan = Plan(Store(tmp_path))
    assert list(plan.state(later[2]).places) == [(0, 0), (0, 1)]
    (part, _) = plan.state(later[2]).parts
    record = plan.store.record("grades", part.key)
    assert record is not None
    assert record.coordinate == (1, 0)


def test_a_plan_that_forgets_sees_what_was_damaged(tmp_path: Path) -> None:
    tables = toy_stages.chain_of(toy_stages.given(range(4)))
    toy_stages.build(tmp_path, tables)
    plan = Plan(Store(tmp_path))
    (part, _) = plan.state(tables[2]).parts
    plan.store.quarantine("grades", part.key, "of the test")
    assert plan.state(tables[2]).complete
    plan.forget()
    assert [wanted.key for wanted in plan.state(tables[2]).missing] == [part.key]
