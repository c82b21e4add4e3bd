"""`rdpt show`: one trace in the terminal, each sentence with where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
from rich.text import Text

from flows.commands.documents import print_json
from flows.configurations import Configuration
from flows.lookup import Place, asked, full_id, parts_of, places, rows_of_side
from flows.runtime import read_runtime
from flows.workspace import Opened, named, open_asked
from rdpt_core.report.terminal import Terminal, terminal_width
from rdpt_core.report.traces import NEAR, SentenceLine, legend, text_lines, trace_lines
from rdpt_core.tables.rows import Grade, Problem, Provenance, Sentence, Trace, ZoneKind
from rdpt_core.text.printable import printable
from settings.loading import BadSettings
from tasks.plan import Plan
from tasks.progress import say

INDENT = 9
TELLING = """SELECT parse_filename(filename, true), trace_id, position FROM {files}
    WHERE label IS NOT NULL AND p_teacher > p_student
    ORDER BY p_teacher - p_student DESC, trace_id, position LIMIT 1"""
"""The sentence with the largest teacher advantage: part, trace, position."""


@dataclass(frozen=True)
class ShownTrace:
    """A trace with everything that is shown of it."""

    place: Place
    trace: Trace
    grade: Grade | None
    problem: Problem | None
    sentences: list[SentenceLine]
    near: float
    """Margins below it are marked."""


def show(trace_id: str, file: str, configuration: str, as_json: bool) -> int:
    """Raises BadSettings where no single trace, or no single labelling of it, is meant."""
    opened = open_asked(file, read_runtime())
    plan = Plan(opened.store)
    everyone = opened.study.configurations()
    chosen = [named(opened, configuration)] if configuration else everyone
    if trace_id:
        name = full_id(opened, plan, chosen, trace_id)
        place = _place(places(plan, chosen, name), name)
    else:
        name, place, position = _most_telling(opened, plan, chosen)
    told = _told(opened, plan, place, name)
    if not trace_id:
        say(_advantage(told.sentences, position))
    if as_json:
        print_json(_document(told))
        return 0
    terminal = Terminal()
    for line in _lines(told):
        terminal.print(line)
    return 0


# ---------------------------------------------------------------------------- which one


def _most_telling(
    opened: Opened, plan: Plan, chosen: Sequence[Configuration]
) -> tuple[str, Place, int]:
    """The trace of the sentence with the largest teacher advantage: among evaluated answers, and
    where none of them is labelled among the training side's traces."""
    sides = {side for c in chosen for side in c.sides}
    for kind in (sorted(sides - {"train"}), ["train"]):
        parts = {
            part.key: part
            for c in chosen
            for side in kind
            for part in parts_of(plan, c, side, "provenance")
        }
        for key, name, position in asked(plan.store, list(parts.values()), TELLING):
            found = places(plan, chosen, name)
            place = next(one for one in found if one.labels and one.labels.key == key)
            return name, place, position
    lines = ["no trace has labelled sentences in which the teacher has an advantage: give an id"]
    raise BadSettings(f"{opened.experiment.name} of {opened.runtime.workspace}", lines)


def _advantage(sentences: Sequence[SentenceLine], position: int) -> str:
    number = sum(one.sentence.zone is not ZoneKind.TAG for one in sentences[: position + 1])
    row = sentences[position].provenance
    gap = ((row.p_teacher or 0.0) - (row.p_student or 0.0)) if row else 0.0
    return f"the largest teacher advantage is that of its sentence {number}: {gap:+.3f}"


def _place(places: Iterator[Place], trace_id: str) -> Place:
    """The only labelling, under the first configuration that has it; any place without one."""
    found = list(places)
    labelled = {place.labels.key: place for place in reversed(found) if place.labels}
    if len(labelled) > 1:
        names = [place.configuration.name for place in found if place.labels]
        raise BadSettings(
            "show",
            [
                f"{len(labelled)} configurations label {trace_id} differently: choose one with "
                f"--configuration; configurations: {', '.join(names)}"
            ],
        )
    return next(iter(labelled.values()), found[0])


# ---------------------------------------------------------------------------- what is shown


def _told(opened: Opened, plan: Plan, place: Place, trace_id: str) -> ShownTrace:
    (trace,) = [t for t in plan.store.rows(Trace, place.traces) if t.trace_id == trace_id]
    grades = rows_of_side(plan, place, Grade, trace_id)
    problems = rows_of_side(plan, place, Problem, trace.problem_id, "problem_id")
    return ShownTrace(
        place,
        trace,
        grades[0] if grades else None,
        problems[0] if problems else None,
        list(_sentences(plan, place, trace)),
        _near(opened, place),
    )


def _sentences(plan: Plan, place: Place, trace: Trace) -> Iterator[SentenceLine]:
    raw = trace.text.encode()
    cut = rows_of_side(plan, place, Sentence, trace.trace_id)
    rows = plan.store.rows(Provenance, place.labels) if place.labels else []
    labels = {row.position: row for row in rows if row.trace_id == trace.trace_id}
    for one in cut:
        text = raw[one.start : one.stop].decode(errors="replace")
        yield SentenceLine(one, text, labels.get(one.position))


def _near(opened: Opened, place: Place) -> float:
    """Margins below it are marked: those that the catalogue calls undetermined, where the noise of
    the scorers was measured."""
    if place.labels is None or not opened.runtime.catalog.exists():
        return NEAR
    sql = "SELECT 2 * p99_p FROM main.label_noise WHERE part = ?"
    try:
        with duckdb.connect(str(opened.runtime.catalog), read_only=True) as connection:
            found = connection.execute(sql, [place.labels.key]).fetchone()
    except duckdb.Error:  # of another release, or being replaced: the trace is shown all the same
        return NEAR
    return NEAR if found is None or found[0] is None else float(found[0])


def _lines(told: ShownTrace) -> Iterator[Text | str]:
    yield from _head(told)
    width = terminal_width()
    if told.sentences:
        yield from trace_lines(told.sentences, width, told.near)
    else:
        yield from text_lines(told.trace.text, width)
    yield ""
    yield legend(told.near) if told.place.labels else "no configuration labels its sentences"


def _head(told: ShownTrace) -> Iterator[str]:
    trace, grade, problem = told.trace, told.grade, told.problem
    yield f"trace    {trace.trace_id}"
    yield f"of       {told.place.configuration.name}, {told.place.side}"
    outcome = grade.outcome if grade else "not graded"
    yield f"outcome  {outcome}; finish reason {trace.finish_reason}"
    if grade:
        yield f"answer   {_short(grade.extracted)}"
    if problem:
        yield f"gold     {_short(problem.answer)}"
        yield f"problem  {problem.problem_id}"
        width = terminal_width()
        prompt = text_lines(problem.prompt, None if width is None else width - INDENT)
        yield from (f"{'':{INDENT}}{line}" for line in prompt)
    yield ""


def _short(answer: str | None) -> str:
    return "none" if answer is None else printable(" ".join(answer.split()))


def _document(told: ShownTrace) -> dict[str, Any]:
    trace, grade, problem = told.trace, told.grade, told.problem
    return {
        "trace_id": trace.trace_id,
        "configuration": told.place.configuration.name,
        "side": told.place.side,
        "problem_id": trace.problem_id,
        "prompt": problem.prompt if problem else None,
        "gold": problem.answer if problem else None,
        "extracted": grade.extracted if grade else None,
        "outcome": grade.outcome if grade else None,
        "finish_reason": trace.finish_reason,
        "near": told.near,
        "sentences": [_sentence(one) for one in told.sentences],
    }


def _sentence(one: SentenceLine) -> dict[str, Any]:
    row = one.provenance
    return {
        "position": one.sentence.position,
        "zone": one.sentence.zone,
        "text": one.text,
        "label": row.label if row else None,
        "margin": row.margin if row else None,
        "p_teacher": row.p_teacher if row else None,
        "p_student": row.p_student if row else None,
        "p_distilled": row.p_distilled if row else None,
        "reason": row.reason if row else None,
    }
