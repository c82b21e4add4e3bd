"""From an answer to what trained its student, against the store's own rows."""

from __future__ import annotations

from typing import TypeVar

import duckdb
import pytest

from flows.lineage import Lineage, lineage
from flows.workspace import Opened
from rdpt_core.store import catalog
from rdpt_core.store.contents import Contents
from rdpt_core.store.parts import Store
from rdpt_core.store.record import Part
from rdpt_core.tables.rows import Candidate, Pick, Provenance, Trace
from settings.loading import BadSettings
from tasks.plan import Plan
from tasks.stage import Parts

R = TypeVar("R")


def rows(study: Opened, row: type[R], side: str, name: str = "random") -> list[R]:
    (configuration,) = [c for c in study.study.configurations() if c.name == name]
    table = configuration.find(row.TABLE, side)  # type: ignore[attr-defined]
    assert table is not None
    parts = Plan(study.store).state(table).parts
    return [one for block in Parts(study.store, row, parts) for one in block]


@pytest.fixture
def found(study: Opened) -> Lineage:
    trace = min(rows(study, Trace, "test:bench"), key=lambda trace: trace.trace_id)
    return lineage(study, trace.trace_id, sentence=1, configuration="random")


def test_the_selected_traces_are_those_of_its_students_selection(
    study: Opened, found: Lineage
) -> None:
    picks = {pick.trace_id: pick for pick in rows(study, Pick, "train")}
    assert {one.trace_id: (one.rank, one.merit, one.num_tokens) for one in found.training} == {
        pick.trace_id: (pick.rank, pick.merit, pick.num_tokens) for pick in picks.values()
    }
    assert [one.rank for one in found.training] == sorted(one.rank for one in found.training)


def test_labels_problems_and_candidates_are_counted(study: Opened, found: Lineage) -> None:
    problem_of = {trace.trace_id: trace.problem_id for trace in rows(study, Trace, "train")}
    pool = rows(study, Candidate, "train")
    labels = rows(study, Provenance, "train")
    for one in found.training:
        mine = [row for row in labels if row.trace_id == one.trace_id]
        peers = [row for row in pool if problem_of[row.trace_id] == problem_of[one.trace_id]]
        assert one.problem_id == problem_of[one.trace_id]
        assert (one.candidates, one.eligible) == (len(peers), sum(row.eligible for row in peers))
        assert one.sentences == len(mine)
        for name in ("teacher", "student", "common"):
            assert getattr(one, name) == sum(row.label == name for row in mine)


def test_the_answer_has_its_problem_gold_and_outcome(study: Opened, found: Lineage) -> None:
    assert found.configuration == "random"
    assert found.benchmark == "bench"
    assert found.prompt.startswith("How much is ")
    number = int(found.prompt.removeprefix("How much is ").split()[0])
    assert found.gold == str(number + 1)
    assert found.outcome


def test_nearest_sentences_are_those_of_the_macro_in_its_order(
    study: Opened, found: Lineage
) -> None:
    assert found.sentence is not None
    with duckdb.connect(str(study.runtime.catalog), read_only=True) as connection:
        expected = connection.execute(
            "SELECT similarity(?, sentence) AS found, trace_id, position FROM training_sentences "
            "WHERE experiment = 'study' AND name = 'random' AND found > 0 "
            "ORDER BY found DESC, trace_id, position LIMIT 10",
            [found.sentence.sentence],
        ).fetchall()
    assert [(n.similarity, n.trace_id, n.position) for n in found.nearest] == expected
    assert {n.trace_id for n in found.nearest} <= {one.trace_id for one in found.training}


def test_the_catalogue_tells_the_same(study: Opened, found: Lineage) -> None:
    with duckdb.connect(str(study.runtime.catalog), read_only=True) as connection:
        told = connection.execute(
            "SELECT learnt_trace_id, candidates, teacher FROM lineage "
            "WHERE name = 'random' AND trace_id = ? ORDER BY rank, learnt_trace_id",
            [found.trace_id],
        ).fetchall()
    assert told == [(one.trace_id, one.candidates, one.teacher) for one in found.training]


def test_only_answers_of_trained_students_have_a_lineage(study: Opened) -> None:
    for side, name in (("train", "random"), ("test:bench", "teacher")):
        trace = rows(study, Trace, side, name)[0]
        with pytest.raises(BadSettings, match="lineage starts at a benchmark answer"):
            lineage(study, trace.trace_id)
    with pytest.raises(BadSettings, match="no trace begins with 'zz'"):
        lineage(study, "zz")


def test_a_sentence_that_is_not_there_is_named(study: Opened, found: Lineage) -> None:
    with pytest.raises(BadSettings, match=f"10000: trace {found.trace_id} has "):
        lineage(study, found.trace_id, sentence=10_000, configuration="random")


def test_an_answer_that_is_not_graded_yet_is_named(
    study: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = min(rows(study, Trace, "test:bench"), key=lambda trace: trace.trace_id)
    whole = catalog.used_parts

    def ungraded(store: Store, contents: Contents) -> dict[str, dict[str, Part]]:
        return whole(store, contents) | {"grades": {}}

    monkeypatch.setattr(catalog, "used_parts", ungraded)
    with pytest.raises(BadSettings, match="it is not graded yet"):
        lineage(study, trace.trace_id, configuration="random")
