"""Counts per question: what parts of grades and of sentence labels are reduced to.

They are small arrays that add up over parts, so nothing grows with the number of tokens, and every
interval has questions as its unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rdpt_core.provenance.curves import OUTCOMES, UNLABELLED
from rdpt_core.provenance.labels import LABELS, MISSING, LabelRule, label
from rdpt_core.statistics.intervals import Floats
from rdpt_core.tables.rows import Grade, Outcome, Provenance

Ints = NDArray[np.int64]

QuestionCounts = Mapping[str, Ints]
"""problem_id to counts; the shape is that of the function which made it."""

SOLVED = 0.5
"""Mean correctness above which a question is solved."""


def outcome_counts(problem_of: Mapping[str, str], grades: Iterable[Grade]) -> QuestionCounts:
    """Per question the number of traces of each outcome, as in OUTCOMES. `problem_of` maps the
    trace ids of the part; a trace without a grade is ungraded."""
    outcome_of = {grade.trace_id: grade.outcome for grade in grades}
    counts: dict[str, Ints] = {}
    for trace_id, problem_id in problem_of.items():
        outcome = OUTCOMES.index(outcome_of.get(trace_id, Outcome.UNGRADED))
        counts.setdefault(problem_id, np.zeros(len(OUTCOMES), dtype=np.int64))[outcome] += 1
    return counts


def class_counts(
    problem_of: Mapping[str, str],
    outcome_of: Mapping[str, Outcome],
    rows: Sequence[Provenance],
    three_way: LabelRule | None = None,
) -> QuestionCounts:
    """Per question the sentences by outcome of their trace and by label, outcomes x (LABELS +
    unlabelled). With `three_way` the labels are those of two models, whatever the rows hold."""
    columns = _columns(rows, three_way)
    shape = (len(OUTCOMES), len(LABELS) + 1)
    counts: dict[str, Ints] = {}
    for row, column in zip(rows, columns, strict=True):
        outcome = OUTCOMES.index(outcome_of.get(row.trace_id, Outcome.UNGRADED))
        problem = problem_of[row.trace_id]
        counts.setdefault(problem, np.zeros(shape, dtype=np.int64))[outcome, column] += 1
    return counts


def _columns(rows: Sequence[Provenance], three_way: LabelRule | None) -> list[int]:
    if three_way is None:
        return [UNLABELLED if row.label is None else LABELS.index(row.label) for row in rows]
    p_teacher, p_student = (
        np.array([np.nan if p is None else p for p in column], dtype=np.float64)
        for column in ([row.p_teacher for row in rows], [row.p_student for row in rows])
    )
    codes = label(p_teacher, p_student, None, three_way).label
    columns: list[int] = np.where(codes == MISSING, UNLABELLED, codes).tolist()
    return columns


def merged(parts: Iterable[QuestionCounts]) -> QuestionCounts:
    """The sum over parts; a question may be in several."""
    total: dict[str, Ints] = {}
    for part in parts:
        for problem_id, counts in part.items():
            total[problem_id] = total[problem_id] + counts if problem_id in total else counts
    return total


def solved(outcomes: QuestionCounts) -> dict[str, bool]:
    """Per question whether most of its graded traces are correct: more than half of them."""
    return {problem: share > SOLVED for problem, share in mean_correct(outcomes).items()}


def mean_correct(outcomes: QuestionCounts) -> dict[str, float]:
    """Per question the share of correct among its graded traces; truncated, unparsed and timed out
    ones are not correct. Questions without a graded trace are left out."""
    graded = [i for i, outcome in enumerate(OUTCOMES) if outcome != Outcome.UNGRADED]
    totals = {problem: int(counts[graded].sum()) for problem, counts in outcomes.items()}
    correct = OUTCOMES.index(Outcome.CORRECT)
    return {q: int(outcomes[q][correct]) / total for q, total in totals.items() if total}


def count_table(counts: QuestionCounts, *shape: int) -> Floats:
    """All counts as one array; its first axis is the questions, by id."""
    rows = [counts[problem] for problem in sorted(counts)]
    return np.array(rows, dtype=np.float64).reshape(len(rows), *shape)
