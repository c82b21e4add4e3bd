"""The rows of `results` on the training side: candidates, picks, fine-tuning."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from rdpt_core.results.counts import Ints, count_table
from rdpt_core.results.summary import Named, metric_rows
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
from rdpt_core.statistics.effects import Estimate, exact, nothing, ratio, ratios
from rdpt_core.tables.rows import Pick, Result, TrainingStep


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
    table = count_table(sums, len(reasons) + 3)
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
