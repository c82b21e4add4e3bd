"""Small stages over real rows, to test the stage contract without a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rdpt_core.store.holding import Holder
from rdpt_core.store.parts import Store
from rdpt_core.store.record import Coordinate, Part
from rdpt_core.tables import ids
from rdpt_core.tables.recipe import Recipe
from rdpt_core.tables.rows import (
    FinishReason,
    Grade,
    Outcome,
    Pick,
    Problem,
    Sentence,
    Trace,
    Zone,
    ZoneKind,
)
from tasks.plan import MissingPart, Plan
from tasks.stage import Parts, SourceTable, StageTable, stage
from tasks.worker import Watcher, Worker


@dataclass
class Options:
    threads: int = 1
    workers: int = 1
    device: str = "cpu"
    wait: bool = True


@dataclass
class Journal(Watcher):
    """A Watcher that remembers what was committed."""

    parts: list[str] = field(default_factory=list)
    waited: list[Holder | None] = field(default_factory=list)

    def committed(self, part: Part, num_items: int) -> None:
        self.parts.append(part.table)

    def waits(self, table: StageTable, wanted: MissingPart, holder: Holder | None) -> None:
        self.waited.append(holder)


def problem(number: int) -> Problem:
    prompt = f"How much is {number} and one?"
    return Problem(ids.problem_id("toy", prompt), "toy", "train", "", prompt, str(number + 1))


def given(numbers: range, block: int = 4) -> SourceTable:
    """Problems in blocks, as from a source."""
    recipes = [
        (Recipe("problems", 1, {"rows": [p.problem_id for p in rows]}, {}), rows)
        for start in range(0, len(numbers), block)
        if (rows := [problem(n) for n in numbers[start : start + block]])
    ]

    def parts(store: Store) -> dict[Coordinate, Part] | None:
        found = [store.find("problems", recipe.key) for recipe, _ in recipes]
        return {(n,): p for n, p in enumerate(found) if p} if all(found) else None

    def read(store: Store) -> None:
        for recipe, rows in recipes:
            if not store.find("problems", recipe.key):
                store.commit(Problem, recipe, rows)

    source = ids.digest(str(numbers), block)
    return SourceTable("problems", Problem, source, (source,), parts, read, dict)


@stage("traces", version=1, row=Trace, over="problems", each="sample_index")
def write(problems: list[Problem], sample_index: int, style: str) -> Iterator[Trace]:
    for p in problems:
        text = f"{style} {p.answer}" + "!" * sample_index
        name = ids.sampled_trace_id(p.problem_id, "toy", style, sample_index, text)
        zones = (Zone(ZoneKind.ANSWER, 0, len(text)),)
        yield Trace(
            name,
            p.problem_id,
            "toy",
            sample_index,
            text,
            zones,
            FinishReason.STOP,
            None,
            None,
            None,
            None,
            None,
            None,
        )


@stage("grades", version=1, row=Grade, over="traces")
def check(problems: list[Problem], traces: list[Trace]) -> Iterator[Grade]:
    answers = {p.problem_id: p.answer for p in problems}
    for t in traces:
        right = str(answers[t.problem_id]) in t.text
        yield Grade(t.trace_id, Outcome.CORRECT if right else Outcome.WRONG, t.text)


@stage("sentences", version=1, row=Sentence, over="traces")
def cut(traces: list[Trace], rule: str) -> Iterator[Sentence]:
    for t in traces:
        yield Sentence(t.trace_id, 0, 0, len(t.text), ZoneKind.ANSWER)


@stage("sentences", version=2, row=Sentence, over="traces")
def cut_again(traces: list[Trace], rule: str) -> Iterator[Sentence]:
    """Another version with the same rows."""
    for t in traces:
        yield Sentence(t.trace_id, 0, 0, len(t.text), ZoneKind.ANSWER)


@stage("pool", version=1, row=Grade, over="sentences")
def keep(sentences: list[Sentence], grades: list[Grade]) -> Iterator[Grade]:
    assert {s.trace_id for s in sentences} == {g.trace_id for g in grades}
    yield from grades


@stage("selection", version=1, row=Pick)
def pick(grades: Parts[Grade], best: int) -> Iterator[Pick]:
    names = sorted(g.trace_id for rows in grades for g in rows)
    for rank, name in enumerate(names[:best]):
        yield Pick(name, rank, 1.0, 1)


def chain_of(problems: SourceTable, samples: int = 2, style: str = "it is") -> list[Any]:
    traces = write(problems=problems, sample_index=tuple(range(samples)), style=style)
    grades = check(problems=problems, traces=traces)
    sentences = cut(traces=traces, rule="one")
    return [problems, traces, grades, sentences, pick(grades=grades, best=3)]


def build(store: Path | Store, tables: list[Any], **options: Any) -> Journal:
    journal = Journal()
    plan = Plan(store if isinstance(store, Store) else Store(store))
    for table in tables:
        if not plan.state(table).complete:
            Worker(plan, Options(**options), journal).build(table)
    return journal
