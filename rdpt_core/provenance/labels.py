"""Where a sentence comes from: a rule over the probabilities that the models give it.

`label` is the only rule: it knows probabilities of two or three models and no text, and reads
arrays, so a sweep over thresholds is one call each. `provenance` applies it to rows. A missing
score gives a missing label with a reason, never a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rdpt_core.defaults import ALPHA, BETA, Threshold
from rdpt_core.provenance.sentence_scores import (
    sentence_scores as sentence_scores,  # the step before
)
from rdpt_core.tables.recipe import Rule
from rdpt_core.tables.rows import (
    Direction,
    Label,
    Provenance,
    ScoreStatus,
    SentenceScore,
    TokenScores,
)

Bools = NDArray[np.bool_]
Codes = NDArray[np.int8]
Floats = NDArray[np.float64]

LABELS: tuple[Label, ...] = (
    Label.TEACHER,
    Label.STUDENT,
    Label.COMMON,
    Label.SHARED,
    Label.BOOSTED,
)
"""A code in an array of labels is an index into this; MISSING has no label."""
THREE_WAY: tuple[Label, ...] = (Label.TEACHER, Label.STUDENT, Label.COMMON)
FOUR_WAY: tuple[Label, ...] = (Label.TEACHER, Label.STUDENT, Label.SHARED, Label.BOOSTED)
DIRECTIONS: tuple[Direction, ...] = (Direction.UP, Direction.BETWEEN, Direction.DOWN)
MISSING = -1
NO_TOKENS = "no_tokens"
"""Reason of a sentence that was scored but owns no token, such as a line break that the model's
tokenizer glues to the next word."""


class LabelRule(Rule):
    """Thresholds of method.md section 4 (arXiv 2512.20908); gaps are of probabilities, not logs."""

    alpha: Threshold = ALPHA
    """Shared: the three probabilities lie within alpha of each other."""
    beta: Threshold = BETA
    """Teacher: the teacher's probability exceeds the student's by more than beta."""
    normalisation: Literal["token_mean", "byte_mean"] = "token_mean"
    """What a log-probability is divided by. Thresholds do not carry over between the two."""


def probabilities(rows: Sequence[SentenceScore], rule: LabelRule) -> Floats:
    """Geometric mean of token probabilities, `p = exp(logprob / n)`; NaN where there is no score.

    `n` is the model's own tokens of the sentence (DASD report; method.md section 3), or its bytes.
    """
    return np.exp(log_probabilities(rows, rule))


def log_probabilities(rows: Sequence[SentenceScore], rule: LabelRule) -> Floats:
    """`log p`, which is finite where p would be 0."""
    if rule.normalisation == "token_mean":
        lengths = [row.num_tokens for row in rows]
    else:
        lengths = [row.num_bytes for row in rows]
    logprobs = [np.nan if row.logprob is None else row.logprob for row in rows]
    return np.array(logprobs, dtype=np.float64) / np.maximum(lengths, 1)


@dataclass(frozen=True, slots=True)
class Labelled:
    """Parallel arrays, one element per sentence."""

    label: Codes
    """Index into LABELS; MISSING where a probability is."""
    direction: Codes
    """Index into DIRECTIONS; MISSING without a distilled student too."""
    margin: Floats
    """In units of a probability gap; NaN where the label is missing."""


def label(
    p_teacher: Floats, p_student: Floats, p_distilled: Floats | None, rule: LabelRule
) -> Labelled:
    """Four-way labels, or three-way ones without a distilled student (method.md section 4).

    With `g = pT - pS` and `r` the largest of the three absolute gaps, in this order: Shared where
    `r <= alpha`; Teacher where `g > beta`; Student where `-g > beta`; else Boosted. Three-way:
    Teacher, Student, else Common. The last class is the residual, so the classes partition.

    The margin is the smallest change of the gaps `r` and `g` at which the label changes: Shared
    `alpha - r`; three-way `||g| - beta|`; else `min(r - alpha, ||g| - beta|)`. A gap changes by at
    most twice what a probability does, so no label changes while every probability stays within
    half a margin.
    """
    gap = p_teacher - p_student
    to_beta = np.abs(np.abs(gap) - rule.beta)
    if p_distilled is None:
        codes = _select(
            [gap > rule.beta, -gap > rule.beta], [Label.TEACHER, Label.STUDENT], Label.COMMON
        )
        return _without_missing(codes, np.full(gap.shape, MISSING, np.int8), to_beta, gap)
    gaps = np.abs([gap, p_student - p_distilled, p_teacher - p_distilled])
    widest = gaps[0] if not gaps.size else gaps.max(axis=0)  # NaN where any probability is
    shared = widest <= rule.alpha
    codes = _select(
        [shared, gap > rule.beta, -gap > rule.beta],
        [Label.SHARED, Label.TEACHER, Label.STUDENT],
        Label.BOOSTED,
    )
    to_alpha = np.abs(widest - rule.alpha)
    margin = np.where(shared, to_alpha, np.minimum(to_alpha, to_beta))
    return _without_missing(codes, _directions(p_teacher, p_student, p_distilled), margin, widest)


def _select(conditions: list[Bools], labels: list[Label], residual: Label) -> Codes:
    codes = [np.int8(LABELS.index(name)) for name in labels]
    return np.select(conditions, codes, np.int8(LABELS.index(residual))).astype(np.int8)


def _directions(p_teacher: Floats, p_student: Floats, p_distilled: Floats) -> Codes:
    """Up and down are strict: above, or below, both others."""
    up = p_distilled > np.maximum(p_teacher, p_student)
    down = p_distilled < np.minimum(p_teacher, p_student)
    return np.where(up, 0, np.where(down, 2, 1)).astype(np.int8)


def _without_missing(codes: Codes, direction: Codes, margin: Floats, gap: Floats) -> Labelled:
    missing = np.isnan(gap)
    return Labelled(
        label=np.where(missing, np.int8(MISSING), codes),
        direction=np.where(missing, np.int8(MISSING), direction),
        margin=np.where(missing, np.nan, margin),
    )


Statuses = Mapping[tuple[str, str], ScoreStatus]
"""(trace_id, scorer), the key of `scores`, to its status."""


def statuses(scores: Iterable[TokenScores]) -> dict[tuple[str, str], ScoreStatus]:
    return {(score.trace_id, score.scorer): score.status for score in scores}


def provenance(
    teacher: Sequence[SentenceScore],
    student: Sequence[SentenceScore],
    distilled: Sequence[SentenceScore] | None,
    rule: LabelRule,
    status: Statuses,
) -> Iterator[Provenance]:
    """One row per sentence of `teacher`, in its order; the other models have the same sentences.

    Where a model has no score the label is None and the reason is that of the first such model
    (teacher, student, distilled); the probabilities that are known stay. `status` is asked only
    there. Raises ValueError where the models' sentences differ.
    """
    keys = [(row.trace_id, row.position) for row in teacher]
    models = [list(teacher), _aligned(student, keys, "student")]
    if distilled is not None:
        models.append(_aligned(distilled, keys, "distilled student"))
    p = [probabilities(rows, rule) for rows in models]
    labelled = label(p[0], p[1], p[2] if distilled is not None else None, rule)
    values = [_optional(column) for column in p]
    if distilled is None:
        values.append([None] * len(keys))
    margins = _optional(labelled.margin)
    for i, (code, turn) in enumerate(zip(labelled.label, labelled.direction, strict=True)):
        yield Provenance(
            trace_id=keys[i][0],
            position=keys[i][1],
            label=None if code == MISSING else LABELS[code],
            direction=None if turn == MISSING else DIRECTIONS[turn],
            margin=margins[i],
            p_teacher=values[0][i],
            p_student=values[1][i],
            p_distilled=values[2][i],
            reason=_reason([rows[i] for rows in models], status) if code == MISSING else None,
        )


def _optional(values: Floats) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]


def _aligned(
    rows: Sequence[SentenceScore], keys: list[tuple[str, int]], role: str
) -> list[SentenceScore]:
    found = {(row.trace_id, row.position): row for row in rows}
    if len(found) != len(keys) or len(found) != len(rows) or not all(k in found for k in keys):
        odd = sorted(found.keys() ^ set(keys))
        where = f", such as trace {odd[0][0]}, position {odd[0][1]}" if odd else ""
        raise ValueError(
            f"the {role}'s {len(rows)} sentences are not the teacher's {len(keys)}{where}: score "
            "the same traces, cut by the same segmenter, under every model"
        )
    return [found[key] for key in keys]


def _reason(models: list[SentenceScore], status: Statuses) -> str:
    row = next(row for row in models if row.logprob is None)
    found = status.get((row.trace_id, row.scorer))
    if found is None:
        raise ValueError(f"no status of trace {row.trace_id} under {row.scorer}, which is unscored")
    return NO_TOKENS if found == ScoreStatus.OK else found.value
