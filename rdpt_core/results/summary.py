"""The rows of `results`: every number of a configuration, with its interval and its n.

Parts are reduced one by one to `QuestionCounts`, a small array of counts per question, which add
up; the rows are made from the sums. So nothing here grows with the number of tokens, and every
interval has questions as its unit. Metrics of the comparison have bare names (`accuracy`,
`teacher_share`, `tokens`), all others are `table/what[/slice]`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdpt_core.provenance.curves import (
    OUTCOMES,
    SIDES,
    UNLABELLED,
    CurveRule,
    PositionCounts,
    areas,
    curves,
)
from rdpt_core.provenance.labels import FOUR_WAY, LABELS, MISSING, THREE_WAY, LabelRule, label
from rdpt_core.results.arms import (
    Arm,
    as_counts,
    detectable_difference,
    difference,
    draws_note,
    left_out,
)
from rdpt_core.selection.candidates import ELIGIBLE, CandidateRecord
from rdpt_core.selection.picks import Selector, select, total_tokens
from rdpt_core.selection.profile import (
    agreement,
    chance_agreement,
    length_decomposition,
    longest_is_most_teacher,
    num_without_merit,
    robust_picks,
    stability,
    tie_rate,
    token_gap,
)
from rdpt_core.statistics.effects import (
    Estimate,
    exact,
    mean,
    nothing,
    ratio,
    ratios,
    times,
    with_note,
)
from rdpt_core.statistics.intervals import Floats
from rdpt_core.tables.rows import Grade, Label, Outcome, Pick, Provenance, Result, TrainingStep

Ints = NDArray[np.int64]

QuestionCounts = Mapping[str, Ints]
"""problem_id to counts; the shape is that of the function which made it."""
Named = Iterator[tuple[str, Estimate]]

SHOWN_OUTCOMES = (Outcome.TRUNCATED, Outcome.UNPARSED, Outcome.TIMEOUT, Outcome.UNGRADED)
FINISHED = (Outcome.CORRECT, Outcome.WRONG, Outcome.UNPARSED, Outcome.TIMEOUT)
SOLVED = 0.5
"""Mean correctness above which a question is solved."""
BY_DOMAIN = "grades/accuracy/"
"""Metric of the accuracy in a domain, up to the domain's name."""


# ---------------------------------------------------------------- parts to counts


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


# ---------------------------------------------------------------- the test side


@dataclass(frozen=True, slots=True)
class Attribution:
    """Sums over a benchmark's parts of what the distilled student's sentences are."""

    classes: QuestionCounts
    """Counts by `class_counts` over the labels of the rows."""
    three_way: QuestionCounts
    """Counts by `class_counts` with the rule of two models."""
    positions: PositionCounts
    labels: tuple[Label, ...] = FOUR_WAY
    """Classes of the rule that made `classes`."""


def benchmark_results(
    configuration: str,
    benchmark: str,
    outcomes: QuestionCounts,
    baseline: QuestionCounts | None,
    attribution: Attribution | None,
    rule: CurveRule,
    domains: Mapping[str, str] | None = None,
    draws: tuple[str, ...] = (),
) -> Iterator[Result]:
    """Rows of one benchmark. `baseline` holds the undistilled student's outcomes; a configuration
    without a distilled student has none, and no attribution. `domains` maps problem ids; `draws`
    names the draw that the student was trained on."""
    found = list(_accuracies(outcomes, draws))
    found += _by_domain(outcomes, domains or {})
    if baseline is not None:
        found += _lift(outcomes, baseline, draws)
        found += _changes(outcomes, baseline)
    if attribution is not None:
        found += _class_shares(attribution)
        found += _sided_teacher_shares(attribution.classes, rule)
        found += _areas(attribution, rule)
    return metric_rows(configuration, "test", benchmark, found)


def metric_rows(
    configuration: str, side: str, benchmark: str, found: Iterable[tuple[str, Estimate]]
) -> Iterator[Result]:
    for metric, one in found:
        yield Result(
            configuration, side, benchmark, metric, one.value, one.low, one.high, one.n, one.note
        )


def _accuracies(outcomes: QuestionCounts, draws: tuple[str, ...]) -> Named:
    accuracy = with_note(_accuracy(outcomes), _samples_note(outcomes))
    yield "accuracy", with_note(accuracy, draws_note(draws))
    table = _table(outcomes, len(OUTCOMES))
    finished = table[:, [OUTCOMES.index(outcome) for outcome in FINISHED]].sum(axis=1)
    correct = table[:, OUTCOMES.index(Outcome.CORRECT)]
    yield "grades/accuracy_finished", with_note(ratio(correct, finished), "of finished samples")
    shown = [OUTCOMES.index(outcome) for outcome in SHOWN_OUTCOMES]
    shares = ratios(table[:, shown], table.sum(axis=1))
    for outcome, share in zip(SHOWN_OUTCOMES, shares, strict=True):
        yield f"grades/share/{outcome}", share
    yield "grades/num_samples", exact(float(table.sum()), len(table))


def _accuracy(outcomes: QuestionCounts) -> Estimate:
    per_question = mean_correct(outcomes)
    return mean(np.array([per_question[problem] for problem in sorted(per_question)]))


def _by_domain(outcomes: QuestionCounts, domains: Mapping[str, str]) -> Named:
    """Accuracy in each domain that problems name; none of it where there is one domain at most."""
    within: dict[str, dict[str, Ints]] = defaultdict(dict)
    for problem_id, counts in outcomes.items():
        within[domains.get(problem_id, "")][problem_id] = counts
    if len(within) > 1:
        for domain in sorted(within):
            yield f"{BY_DOMAIN}{domain or 'no domain'}", _accuracy(within[domain])


def _table(counts: QuestionCounts, *shape: int) -> Floats:
    """Questions first, by id."""
    rows = [counts[problem] for problem in sorted(counts)]
    return np.array(rows, dtype=np.float64).reshape(len(rows), *shape)


def _samples_note(outcomes: QuestionCounts) -> str:
    sizes = sorted({int(counts.sum()) for counts in outcomes.values()})
    if not sizes:
        return "no samples"
    return f"avg@{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} samples each"


def _lift(outcomes: QuestionCounts, baseline: QuestionCounts, draws: tuple[str, ...]) -> Named:
    """Over the undistilled student, on the same questions and sampling seeds."""
    after, before = as_counts(mean_correct(outcomes)), as_counts(mean_correct(baseline))
    lift = difference(Arm([after], draws), Arm([before]))
    yield "grades/lift", left_out(lift, after, before)
    yield (
        "grades/detectable_lift",
        detectable_difference(mean_correct(outcomes), mean_correct(baseline)),
    )


def _changes(outcomes: QuestionCounts, baseline: QuestionCounts) -> Named:
    """Questions that the undistilled student does not solve and this one does, the reverse, and
    one minus the other, on the questions that both answered."""
    after, before = solved(outcomes), solved(baseline)
    common = sorted(after.keys() & before.keys())
    now, then = (np.array([one[q] for q in common], dtype=np.float64) for one in (after, before))
    for name, changed in (("gained", now * (1 - then)), ("lost", then * (1 - now))):
        yield f"grades/{name}", times(mean(changed), len(common))
    net = difference(*(Arm([as_counts({q: one[q] for q in common})]) for one in (after, before)))
    yield "grades/net_gained", times(net, len(common))


def _class_shares(attribution: Attribution) -> Named:
    shares = dict(_shares_of(attribution.classes, attribution.labels))
    yield "teacher_share", shares[Label.TEACHER]
    for name, share in shares.items():
        yield f"provenance/share/{name}", share
    for name, share in _shares_of(attribution.three_way, THREE_WAY):
        yield f"provenance/three_way/{name}", share
    table = _by_label(attribution.classes)
    yield "provenance/missing", ratio(table[:, UNLABELLED], table.sum(axis=1))
    yield "provenance/num_sentences", exact(float(table.sum()), len(table))


def _by_label(classes: QuestionCounts) -> Floats:
    """Questions x (LABELS + unlabelled), over all outcomes."""
    return np.asarray(_table(classes, len(OUTCOMES), len(LABELS) + 1).sum(axis=1))


def _shares_of(
    classes: QuestionCounts, labels: Sequence[Label]
) -> Iterator[tuple[Label, Estimate]]:
    """Shares of the labelled sentences; None where nothing is labelled."""
    table = _by_label(classes)[:, [LABELS.index(name) for name in labels]]
    yield from zip(labels, ratios(table, table.sum(axis=1)), strict=True)


def _sided_teacher_shares(classes: QuestionCounts, rule: CurveRule) -> Named:
    table = _table(classes, len(OUTCOMES), len(LABELS) + 1)[:, :, :UNLABELLED]
    for side in SIDES:
        kept = [OUTCOMES.index(outcome) for outcome in rule.outcomes(side)]
        sums = table[:, kept].sum(axis=1)
        share = ratio(sums[:, LABELS.index(Label.TEACHER)], sums.sum(axis=1))
        yield f"provenance/teacher_share/{side}", share


def _areas(attribution: Attribution, rule: CurveRule) -> Named:
    for name, with_truncated in (("area", False), ("area_with_truncated", True)):
        found = curves(
            attribution.positions, rule.model_copy(update={"with_truncated": with_truncated})
        )
        for reach, one in areas(found, rule).items():
            note = f"positions 1 to {one.last}, {one.num_left_out} left out; n counts positions"
            for each in attribution.labels:
                value = one.by_label[each] if one.by_label else None
                yield f"curves/{name}/{reach}/{each}", exact(value, one.num_positions, note)


# ---------------------------------------------------------------- the train side


def pool_results(
    configuration: str, source: str, records: Sequence[CandidateRecord]
) -> Iterator[Result]:
    """Rows of the candidates, before any selector; `source` stands in the benchmark's column."""
    found = [*_pool_shares(records), *_pool_picks(records)]
    return metric_rows(configuration, "train", source, found)


def _pool_shares(records: Sequence[CandidateRecord]) -> Named:
    reasons = sorted({record.reason for record in records} | {ELIGIBLE})
    sums: dict[str, Ints] = defaultdict(lambda: np.zeros(len(reasons) + 3, dtype=np.int64))
    for one in records:
        sums[one.problem_id][reasons.index(one.reason)] += 1
        sums[one.problem_id][-3:] += (one.num_teacher, one.num_sentences, one.num_missing)
    table = _table(sums, len(reasons) + 3)
    by_reason, (teacher, scored, missing) = table[:, :-3], table[:, -3:].T
    yield "pool/num_candidates", exact(float(len(records)), len(table))
    yield (
        "pool/num_questions",
        exact(
            float((by_reason[:, reasons.index(ELIGIBLE)] > 0).sum()),
            len(table),
            "with an eligible candidate",
        ),
    )
    for reason, share in zip(reasons, ratios(by_reason, by_reason.sum(axis=1)), strict=True):
        yield f"pool/share/{reason}", share
    yield "pool/teacher_share", ratio(teacher, scored)
    yield "pool/missing", ratio(missing, scored + missing)


def _pool_picks(records: Sequence[CandidateRecord]) -> Named:
    """Which lengths win, and how firmly the picks of `teacher_count` stand, which every arm is held
    against."""
    yield "pool/longest_is_most_teacher", longest_is_most_teacher(records)
    found = length_decomposition(records)
    yield "pool/spearman_count_length", exact(found.spearman, found.num_spearman)
    note = f"n counts candidates; {found.num_zero} without a Teacher sentence left out"
    yield "pool/count_variance_of_length", exact(found.share_of_n, found.num_used, note)
    yield "pool/chance_agreement", chance_agreement(records)
    for factor, share in stability(records).items():
        yield f"pool/stability/{factor:g}_beta", share
    yield "pool/robust_picks", robust_picks(records)


def selection_results(
    configuration: str,
    source: str,
    records: Sequence[CandidateRecord],
    picks: Sequence[Pick],
    selector: Selector,
    seed: int,
    num_examples: int | None = None,
    target_tokens: int | None = None,
) -> Iterator[Result]:
    """Rows of one arm; the arguments are those of `select`, and what it returned."""
    found = [*_pick_shares(records, picks)]
    found.append(("selection/tie_rate", tie_rate(records, selector, seed)))
    found.append(("selection/num_without_merit", num_without_merit(records, selector, seed)))
    longest = select(records, Selector(name="longest"), seed, num_examples)
    found.append(("selection/overlap_longest", agreement(picks, longest)))
    if target_tokens is not None:
        found.append(("selection/token_gap", token_gap(picks, target_tokens)))
    return metric_rows(configuration, "train", source, found)


def _pick_shares(records: Sequence[CandidateRecord], picks: Sequence[Pick]) -> Named:
    chosen = {pick.trace_id for pick in picks}
    kept = [record for record in records if record.trace_id in chosen]
    teacher = np.array([record.num_teacher for record in kept], dtype=np.float64)
    scored = np.array([record.num_sentences for record in kept], dtype=np.float64)
    yield "tokens", exact(float(total_tokens(picks)), len(picks))
    yield "selection/num_examples", exact(float(len(picks)), len(picks))
    yield "selection/teacher_share", ratio(teacher, scored) if kept else nothing()


def _mean(values: Sequence[int], note: str) -> Estimate:
    return exact(sum(values) / len(values) if values else None, len(values), note)


def training_results(
    configuration: str, source: str, steps: Sequence[TrainingStep]
) -> Iterator[Result]:
    """Rows of a fine-tuning; n counts optimizer steps."""
    last = max(steps, key=lambda step: step.step, default=None)
    note = "n counts optimizer steps"
    tokens = float(last.tokens_seen) if last else None
    found = [
        ("students/tokens_seen", exact(tokens, len(steps), note)),
        ("students/last_loss", exact(last.loss if last else None, len(steps), note)),
        ("students/trained_per_step", _mean([step.num_trained for step in steps], note)),
        ("students/fed_per_step", _mean([step.num_fed for step in steps], note)),
    ]
    measured = [step for step in steps if step.held_out_loss is not None]
    if measured:
        final = max(measured, key=lambda step: step.step).held_out_loss
        found.append(
            ("students/last_held_out_loss", exact(final, len(measured), "n counts epochs"))
        )
    return metric_rows(configuration, "train", source, found)
