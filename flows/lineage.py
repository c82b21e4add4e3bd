"""From an evaluated answer back to the traces that trained its student.

An answer of a distilled student comes from one fine-tuning, that from a selection of traces, and
each of those from the candidates of its problem. Which of them made the student write one sentence
is unknown: for a sentence, the training sentences that share most words with it are found, and
that is similarity, not cause.

The queries are those of the catalogue's views (`rdpt_core/store/views.py`), over the parts that
exist now.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import duckdb

from flows.catalogue import contents_of
from flows.configurations import Configuration
from flows.lookup import full_id, places
from flows.workspace import Opened, named
from rdpt_core.store import catalog
from rdpt_core.store.contents import of_configuration
from settings.loading import BadSettings
from tasks.plan import Plan

MOST_NEAREST = 10


@dataclass(frozen=True, slots=True)
class TrainingTrace:
    """A selected trace that the student was trained on."""

    trace_id: str
    problem_id: str
    rank: int
    merit: float
    num_tokens: int
    candidates: int
    """Traces of its problem."""
    eligible: int
    """Those of them that selectors chose from."""
    sentences: int
    teacher: int
    student: int
    common: int


@dataclass(frozen=True, slots=True)
class TrainingSentence:
    """A sentence of a selected trace."""

    similarity: float
    """Jaccard index of sets of three consecutive words, 0 to 1."""
    trace_id: str
    position: int
    label: str | None
    p_teacher: float | None
    p_student: float | None
    sentence: str


@dataclass(frozen=True, slots=True)
class AskedSentence:
    number: int
    """As `rdpt show` counts: tags left out, from 1."""
    position: int
    label: str | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Lineage:
    """An evaluated answer and what trained its student."""

    trace_id: str
    experiment: str
    configuration: str
    benchmark: str
    problem_id: str
    prompt: str
    gold: str | None
    extracted: str | None
    outcome: str
    training: tuple[TrainingTrace, ...]
    sentence: AskedSentence | None
    nearest: tuple[TrainingSentence, ...]
    """Most similar first; empty without `sentence`."""


_ABOUT_TRAINING = ("training", "sentence", "nearest")


def lineage(
    opened: Opened, trace_id: str, sentence: int | None = None, configuration: str = ""
) -> Lineage:
    """`trace_id` may be the first characters of an id. Raises BadSettings where it is not an answer
    of a student that was trained here."""
    plan = Plan(opened.store)
    everyone = opened.study.configurations()
    chosen = [named(opened, configuration)] if configuration else everyone
    whole = full_id(opened, plan, chosen, trace_id)
    trained = _trained(opened, plan, chosen, whole)
    contents = of_configuration(contents_of(opened), trained.digest)
    with catalog.in_memory(opened.store, contents) as connection:
        found = _asked(connection, whole, sentence) if sentence is not None else None
        nearest = _nearest(connection, whole, found) if found else ()
        answer = _answer(connection, whole)
        training = _training(connection)
        return Lineage(**answer, training=training, sentence=found, nearest=nearest)


def _trained(
    opened: Opened, plan: Plan, chosen: list[Configuration], trace_id: str
) -> Configuration:
    """The first configuration whose trained student wrote the answer."""
    found = list(places(plan, chosen, trace_id))
    for place in found:
        if place.side != "train" and place.configuration.find("students", "train"):
            return place.configuration
    where = f"{found[0].configuration.name}, {found[0].side}"
    raise BadSettings(
        f"{opened.experiment.name} of {opened.runtime.workspace}",
        [
            f"trace {trace_id} is of {where}: lineage starts at a benchmark answer of a student "
            'that was trained here (`rdpt sql "FROM answers"` lists answers)'
        ],
    )


def _answer(connection: duckdb.DuckDBPyConnection, trace_id: str) -> dict[str, Any]:
    """The fields of `Lineage` that are about the answer itself."""
    names = [field.name for field in fields(Lineage) if field.name not in _ABOUT_TRAINING]
    chosen = ", ".join("name" if name == "configuration" else name for name in names)
    found = connection.execute(f"SELECT {chosen} FROM answers WHERE trace_id = ?", [trace_id])
    row = found.fetchone()
    if row is None:
        raise BadSettings(f"trace {trace_id}", ["it is not graded yet; `rdpt resume` grades it"])
    return dict(zip(names, row, strict=True))


def _training(connection: duckdb.DuckDBPyConnection) -> tuple[TrainingTrace, ...]:
    rows = connection.execute(
        "SELECT trace_id, problem_id, rank, merit, num_tokens, candidates, eligible, sentences, "
        "teacher, student, common FROM training_traces ORDER BY rank, trace_id"
    ).fetchall()
    return tuple(TrainingTrace(*row) for row in rows)


def _asked(connection: duckdb.DuckDBPyConnection, trace_id: str, number: int) -> AskedSentence:
    rows = connection.execute(
        "SELECT position, label, sentence FROM labelled_sentences "
        "WHERE trace_id = ? AND side = 'test' ORDER BY position",
        [trace_id],
    ).fetchall()
    if not 1 <= number <= len(rows):
        raise BadSettings("--sentence", [f"{number}: trace {trace_id} has {len(rows)} sentences"])
    return AskedSentence(number, *rows[number - 1])


def _nearest(
    connection: duckdb.DuckDBPyConnection, trace_id: str, asked: AskedSentence
) -> tuple[TrainingSentence, ...]:
    rows = connection.execute(
        "SELECT similarity, trace_id, position, label, p_teacher, p_student, sentence "
        "FROM nearest_sentences(?, ?, ?) WHERE similarity > 0",
        [trace_id, asked.position, MOST_NEAREST],
    ).fetchall()
    return tuple(TrainingSentence(*row) for row in rows)
