"""The stages that sum up: every number of a configuration with its interval and its n.

Tables are read part by part and reduced to counts per question at once; no token or sentence
stays in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rdpt_core import results
from rdpt_core.curves import CurveRule, PositionCounts, position_counts
from rdpt_core.provenance import LabelRule
from rdpt_core.results import Attribution, QuestionCounts
from rdpt_core.rows import (
    Candidate,
    Grade,
    Pick,
    Provenance,
    Result,
    SentenceScore,
    TokenScores,
    Trace,
    TrainingStep,
)
from rdpt_core.selection import Selector
from tasks.attribution import records_of, target_of
from tasks.stage import Parts, stage


@stage("results", version=1, row=Result)
def baseline(
    traces: Parts[Trace], grades: Parts[Grade], configuration: str, benchmark: str
) -> Iterator[Result]:
    """Accuracy of a model that no arm trained."""
    yield from results.benchmark_results(
        configuration, benchmark, outcomes_of(traces, grades), None, None, CurveRule()
    )


@stage("results", version=1, row=Result)
def attributed(
    traces: Parts[Trace],
    grades: Parts[Grade],
    labels: Parts[Provenance],
    rule: LabelRule,
    configuration: str,
    benchmark: str,
) -> Iterator[Result]:
    """A distilled student's accuracy and the provenance of its sentences; without a baseline."""
    yield from results.benchmark_results(
        configuration, benchmark, outcomes_of(traces, grades), None,
        attribution_of(traces, grades, labels, rule), CurveRule(),
    )  # fmt: skip


@stage("results", version=1, row=Result)
def distilled(
    traces: Parts[Trace],
    grades: Parts[Grade],
    labels: Parts[Provenance],
    base_traces: Parts[Trace],
    base_grades: Parts[Grade],
    rule: LabelRule,
    configuration: str,
    benchmark: str,
) -> Iterator[Result]:
    """The same, with the lift over the undistilled student on the same questions and seeds."""
    yield from results.benchmark_results(
        configuration, benchmark, outcomes_of(traces, grades),
        outcomes_of(base_traces, base_grades), attribution_of(traces, grades, labels, rule),
        CurveRule(),
    )  # fmt: skip


@stage("results", version=1, row=Result)
def compared(
    configuration: str, benchmark: str, against: str, **tables: Parts[Any]
) -> Iterator[Result]:
    """One arm against another, on the same questions and sampling seeds (method.md section 13).

    Tables are `arm_traces_0`, `arm_grades_0`, `other_traces_0`, ...: a pair for each fine-tuning
    seed.
    """
    yield from results.comparison_results(
        configuration, benchmark, against, _runs("arm", tables), _runs("other", tables)
    )


def _runs(arm: str, tables: Mapping[str, Parts[Any]]) -> list[QuestionCounts]:
    names = sorted(name for name in tables if name.startswith(f"{arm}_traces_"))
    pairs = [(tables[name], tables[name.replace("traces", "grades")]) for name in names]
    return [outcomes_of(traces, grades) for traces, grades in pairs]


@stage("results", version=2, row=Result)
def selected(
    traces: Parts[Trace],
    pool: Parts[Candidate],
    teacher: Parts[SentenceScore],
    student: Parts[SentenceScore],
    student_scores: Parts[TokenScores],
    selection: Parts[Pick],
    rule: LabelRule,
    selector: Selector,
    reference: Selector | None,
    seed: int,
    configuration: str,
    source: str,
) -> Iterator[Result]:
    """The pool and the picks of one arm."""
    records = list(records_of(traces, pool, teacher, student, student_scores, rule))
    picks = [pick for rows in selection for pick in rows]
    target = target_of(records, reference, seed)
    yield from results.pool_results(configuration, source, records)
    yield from results.selection_results(
        configuration, source, records, picks, selector, seed, target_tokens=target
    )


@stage("results", version=2, row=Result)
def training(
    steps: Parts[TrainingStep], configuration: str, source: str, **chosen: Any
) -> Iterator[Result]:
    """The same, and the fine-tuning on the picks."""
    yield from selected.function(configuration=configuration, source=source, **chosen)
    yield from results.training_results(
        configuration, source, [step for rows in steps for step in rows]
    )


def outcomes_of(traces: Parts[Trace], grades: Parts[Grade]) -> QuestionCounts:
    return results.merged(
        results.outcome_counts({trace.trace_id: trace.problem_id for trace in rows}, graded)
        for rows, graded in zip(traces, grades, strict=True)
    )


def attribution_of(
    traces: Parts[Trace], grades: Parts[Grade], labels: Parts[Provenance], rule: LabelRule
) -> Attribution:
    """Counts per question and per position, summed over parts."""
    classes: list[QuestionCounts] = []
    three_way: list[QuestionCounts] = []
    positions = PositionCounts.none()
    for rows, graded, labelled in zip(traces, grades, labels, strict=True):
        problem_of = {trace.trace_id: trace.problem_id for trace in rows}
        outcome_of = {grade.trace_id: grade.outcome for grade in graded}
        classes.append(results.class_counts(problem_of, outcome_of, labelled))
        three_way.append(results.class_counts(problem_of, outcome_of, labelled, rule))
        positions = positions + position_counts(labelled, outcome_of)
    return Attribution(results.merged(classes), results.merged(three_way), positions)
