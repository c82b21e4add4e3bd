"""The stages that sum up: every number of a configuration with its interval and its n.

Tables are read part by part and reduced to counts per question at once; no token or sentence
stays in memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from rdpt_core.provenance.curves import CurveRule, PositionCounts, position_counts
from rdpt_core.provenance.labels import LabelRule
from rdpt_core.results import comparisons, counts, summary, train_side
from rdpt_core.results.comparisons import Answered
from rdpt_core.results.counts import QuestionCounts
from rdpt_core.results.summary import Attribution
from rdpt_core.selection.picks import Selector
from rdpt_core.tables.rows import (
    Candidate,
    Grade,
    Pick,
    Problem,
    Provenance,
    Result,
    SentenceScore,
    TokenScores,
    Trace,
    TrainingStep,
)
from tasks.attribution import records_of, target_of
from tasks.stage import Parts, stage


@stage("results", version=3, row=Result)
def baseline(
    problems: Parts[Problem],
    traces: Parts[Trace],
    grades: Parts[Grade],
    configuration: str,
    benchmark: str,
) -> Iterator[Result]:
    """Accuracy of a model that no arm trained."""
    yield from summary.benchmark_results(
        configuration,
        benchmark,
        outcomes_of(traces, grades),
        None,
        None,
        CurveRule(),
        domains_of(problems),
    )


@stage("results", version=3, row=Result)
def attributed(
    problems: Parts[Problem],
    traces: Parts[Trace],
    grades: Parts[Grade],
    labels: Parts[Provenance],
    rule: LabelRule,
    configuration: str,
    benchmark: str,
) -> Iterator[Result]:
    """A distilled student's accuracy and the provenance of its sentences; without a baseline."""
    yield from summary.benchmark_results(
        configuration,
        benchmark,
        outcomes_of(traces, grades),
        None,
        attribution_of(traces, grades, labels, rule),
        CurveRule(),
        domains_of(problems),
    )


@stage("results", version=3, row=Result)
def distilled(
    problems: Parts[Problem],
    traces: Parts[Trace],
    grades: Parts[Grade],
    labels: Parts[Provenance],
    base_traces: Parts[Trace],
    base_grades: Parts[Grade],
    rule: LabelRule,
    draws: tuple[str, ...],
    configuration: str,
    benchmark: str,
) -> Iterator[Result]:
    """The same, with the lift over the undistilled student on the same questions and seeds."""
    yield from summary.benchmark_results(
        configuration,
        benchmark,
        outcomes_of(traces, grades),
        outcomes_of(base_traces, base_grades),
        attribution_of(traces, grades, labels, rule),
        CurveRule(),
        domains_of(problems),
        draws,
    )


@stage("results", version=2, row=Result)
def arm(
    configuration: str,
    benchmark: str,
    arm_draws: tuple[str, ...],
    arm_traces: tuple[Parts[Trace], ...],
    arm_grades: tuple[Parts[Grade], ...],
    arm_labels: tuple[Parts[Provenance], ...],
) -> Iterator[Result]:
    """The mean accuracy of an arm of several runs; tables as in `compared`."""
    runs = _runs(arm_traces, arm_grades, arm_labels, arm_draws)
    yield from comparisons.arm_results(configuration, benchmark, runs)


@stage("results", version=4, row=Result)
def compared(
    configuration: str,
    benchmark: str,
    against: str,
    own_answers: bool,
    arm_draws: tuple[str, ...],
    other_draws: tuple[str, ...],
    arm_traces: tuple[Parts[Trace], ...],
    arm_grades: tuple[Parts[Grade], ...],
    arm_labels: tuple[Parts[Provenance], ...],
    other_traces: tuple[Parts[Trace], ...],
    other_grades: tuple[Parts[Grade], ...],
    other_labels: tuple[Parts[Provenance], ...],
) -> Iterator[Result]:
    """One arm against another, on the same questions and sampling seeds (docs/method.md section 8).

    A table for each fine-tuning seed and draw of an arm; no labels where nothing is attributed.
    Draws are labels, one for each run; none where the selector draws nothing.
    """
    yield from comparisons.comparison_results(
        configuration,
        benchmark,
        against,
        _runs(arm_traces, arm_grades, arm_labels, arm_draws),
        _runs(other_traces, other_grades, other_labels, other_draws),
        own_answers,
    )


def _runs(
    traces: Sequence[Parts[Trace]],
    grades: Sequence[Parts[Grade]],
    labels: Sequence[Parts[Provenance]],
    draws: Sequence[str],
) -> list[Answered]:
    nothing = [None] * len(traces)
    runs = zip(traces, grades, labels or nothing, draws or nothing, strict=True)
    return [answered_of(*run) for run in runs]


def answered_of(
    traces: Parts[Trace],
    grades: Parts[Grade],
    labels: Parts[Provenance] | None,
    draw: str | None,
) -> Answered:
    outcomes = outcomes_of(traces, grades)
    if labels is None:
        return Answered(outcomes, draw=draw)
    classes = counts.merged(
        counts.class_counts({trace.trace_id: trace.problem_id for trace in rows}, {}, labelled)
        for rows, labelled in zip(traces, labels, strict=True)
    )
    return Answered(outcomes, classes, draw)


@stage("results", version=3, row=Result)
def compared_tokens(
    traces: Parts[Trace],
    arm: Parts[Pick],
    other: Parts[Pick],
    configuration: str,
    source: str,
    against: str,
    draws: tuple[str, ...],
) -> Iterator[Result]:
    """What one arm trains on against what another does, paired by question; of an arm of several
    draws, the first."""
    problem_of = {trace.trace_id: trace.problem_id for rows in traces for trace in rows}
    yield from comparisons.tokens_difference(
        configuration, source, against, _tokens(arm, problem_of), _tokens(other, problem_of), draws
    )


def _tokens(picks: Parts[Pick], problem_of: Mapping[str, str]) -> dict[str, float]:
    tokens: dict[str, float] = defaultdict(float)
    for rows in picks:
        for pick in rows:
            tokens[problem_of[pick.trace_id]] += pick.num_tokens
    return tokens


@stage("results", version=4, row=Result)
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
    yield from train_side.pool_results(configuration, source, records)
    yield from train_side.selection_results(
        configuration, source, records, picks, selector, seed, target_tokens=target
    )


@stage("results", version=4, row=Result)
def training(
    traces: Parts[Trace],
    pool: Parts[Candidate],
    teacher: Parts[SentenceScore],
    student: Parts[SentenceScore],
    student_scores: Parts[TokenScores],
    selection: Parts[Pick],
    steps: Parts[TrainingStep],
    rule: LabelRule,
    selector: Selector,
    reference: Selector | None,
    seed: int,
    configuration: str,
    source: str,
) -> Iterator[Result]:
    """The same, and the fine-tuning on the picks."""
    yield from selected.function(
        traces,
        pool,
        teacher,
        student,
        student_scores,
        selection,
        rule,
        selector,
        reference,
        seed,
        configuration,
        source,
    )
    yield from train_side.training_results(
        configuration, source, [step for rows in steps for step in rows]
    )


def domains_of(problems: Parts[Problem]) -> dict[str, str]:
    return {problem.problem_id: problem.domain for rows in problems for problem in rows}


def outcomes_of(traces: Parts[Trace], grades: Parts[Grade]) -> QuestionCounts:
    return counts.merged(
        counts.outcome_counts({trace.trace_id: trace.problem_id for trace in rows}, graded)
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
        classes.append(counts.class_counts(problem_of, outcome_of, labelled))
        three_way.append(counts.class_counts(problem_of, outcome_of, labelled, rule))
        positions = positions + position_counts(labelled, outcome_of)
    return Attribution(counts.merged(classes), counts.merged(three_way), positions)
