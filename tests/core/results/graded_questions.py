"""Four questions with graded traces and labelled sentences, and their rows of results by metric."""

from __future__ import annotations

from collections.abc import Iterable

from rdpt_core.results.comparisons import Answered
from rdpt_core.results.counts import QuestionCounts, class_counts, outcome_counts
from rdpt_core.tables.rows import Grade, Label, Outcome, Provenance, Result

C, W, T, U = Outcome.CORRECT, Outcome.WRONG, Outcome.TRUNCATED, Outcome.UNGRADED
Graded = dict[str, tuple[Outcome, ...]]
GRADED: Graded = {"a": (C, W), "b": (C, T), "c": (W, Outcome.UNPARSED), "d": (C, C)}


def problem_of(graded: Graded) -> dict[str, str]:
    return {f"{q}{i}": q for q, outcomes in graded.items() for i in range(len(outcomes))}


def outcome_of(graded: Graded) -> dict[str, Outcome]:
    return {f"{q}{i}": one for q, outcomes in graded.items() for i, one in enumerate(outcomes)}


def grades(graded: Graded) -> list[Grade]:
    return [Grade(trace, one, None) for trace, one in outcome_of(graded).items()]


def by_metric(rows: Iterable[Result]) -> dict[str, Result]:
    rows = list(rows)
    found = {row.metric: row for row in rows}
    assert len(found) == len(rows)  # metric is part of the key
    return found


def sentence(trace: str, position: int, label: Label | None, gap: float) -> Provenance:
    return Provenance(trace, position, label, None, None, 0.5 + gap, 0.5, 0.5, None)


SENTENCES = [
    sentence("a0", 0, Label.TEACHER, 0.3),
    sentence("a0", 1, Label.SHARED, 0.0),
    sentence("a1", 0, Label.BOOSTED, 0.05),
    sentence("b0", 0, Label.TEACHER, 0.3),
    Provenance("b0", 1, None, None, None, None, None, None, "partial"),
    sentence("c0", 0, Label.STUDENT, -0.3),
]


def counted(graded: Graded) -> QuestionCounts:
    return outcome_counts(problem_of(graded), grades(graded))


def answered(num_teacher: dict[str, int]) -> Answered:
    """Four sentences of each question, some of them Teacher and the rest Student; none where 0."""
    kept = {q: n for q, n in num_teacher.items() if n}
    rows = [
        sentence(f"{q}0", i, Label.TEACHER if i < n else Label.STUDENT, 0.0)
        for q, n in kept.items()
        for i in range(4)
    ]
    problems = {f"{q}0": q for q in num_teacher}
    graded = [Grade(trace_id, Outcome.CORRECT, None) for trace_id in problems]
    return Answered(outcome_counts(problems, graded), class_counts(problems, {}, rows))
