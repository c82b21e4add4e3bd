"""The rows of `results` on a benchmark: every number with its interval and its n.

Metrics of the comparison have bare names (`accuracy`, `teacher_share`, `tokens`), all others are
`table/what[/slice]`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rdpt_core.provenance.curves import (
    OUTCOMES,
    SIDES,
    UNLABELLED,
    CurveRule,
    PositionCounts,
    areas,
    curves,
)
from rdpt_core.provenance.labels import FOUR_WAY, LABELS, THREE_WAY
from rdpt_core.results.arms import (
    Arm,
    as_counts,
    detectable_difference,
    difference,
    draws_note,
    left_out,
)
from rdpt_core.results.counts import Ints, QuestionCounts, count_table, mean_correct, solved
from rdpt_core.statistics.effects import Estimate, exact, mean, ratio, ratios, times, with_note
from rdpt_core.statistics.intervals import Floats
from rdpt_core.tables.rows import Label, Outcome, Result

Named = Iterator[tuple[str, Estimate]]

SHOWN_OUTCOMES = (Outcome.TRUNCATED, Outcome.UNPARSED, Outcome.TIMEOUT, Outcome.UNGRADED)
FINISHED = (Outcome.CORRECT, Outcome.WRONG, Outcome.UNPARSED, Outcome.TIMEOUT)
BY_DOMAIN = "grades/accuracy/"
"""Metric of the accuracy in a domain, up to the domain's name."""


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
    table = count_table(outcomes, len(OUTCOMES))
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
    return np.asarray(count_table(classes, len(OUTCOMES), len(LABELS) + 1).sum(axis=1))


def _shares_of(
    classes: QuestionCounts, labels: Sequence[Label]
) -> Iterator[tuple[Label, Estimate]]:
    """Shares of the labelled sentences; None where nothing is labelled."""
    table = _by_label(classes)[:, [LABELS.index(name) for name in labels]]
    yield from zip(labels, ratios(table, table.sum(axis=1)), strict=True)


def _sided_teacher_shares(classes: QuestionCounts, rule: CurveRule) -> Named:
    table = count_table(classes, len(OUTCOMES), len(LABELS) + 1)[:, :, :UNLABELLED]
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
