"""Position curves with their bands, over all answers: also those that the page leaves out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flows.report.reader import TRAIN, StudyReader, Use, codes
from rdpt_core.provenance.bands import (
    Bands,
    PlacedLabels,
    bands,
    bins_of,
    counts_at,
    positions_with,
    sides_of,
)
from rdpt_core.provenance.curves import OUTCOMES, SIDES
from rdpt_core.provenance.labels import FOUR_WAY, THREE_WAY
from rdpt_core.report.bundle import Curve
from rdpt_core.tables.rows import Grade, Label, Outcome, Provenance, Trace

MIN_TRACES = 10
"""At a position, for its share to be drawn."""
MAX_POINTS = 40
"""Of a curve; positions of longer traces are pooled, or their noise hides the curve."""
SEED = 0
DIGITS = 4


def gather_curves(reader: StudyReader, uses: Sequence[Use]) -> list[Curve]:
    found = (curve_of(reader, use) for use in uses)
    return [curve for curve in found if curve is not None]


def labels_of(use: Use) -> tuple[Label, ...]:
    return THREE_WAY if use.side == TRAIN else FOUR_WAY


def curve_of(reader: StudyReader, use: Use) -> Curve | None:
    """None where nothing is labelled, or no position has enough traces."""
    if not reader.parts(use.configuration, Provenance.TABLE, use.side):
        return None
    labels = labels_of(use)
    placed, num_questions = _placed(reader, use, labels)
    bins = bins_of(positions_with(placed, MIN_TRACES), MAX_POINTS)
    if not bins:
        return None
    counts = counts_at(placed, bins, num_questions, len(labels))
    sides = {str(side): bands(counts[s], SEED) for s, side in enumerate(SIDES)}
    return Curve(
        configuration=use.shown,
        benchmark=use.benchmark,
        position=[middle(one) for one in bins],
        num_traces={side: _num_traces(found, bins) for side, found in sides.items()},
        share={
            str(name): {side: _points(found, n, bins) for side, found in sides.items()}
            for n, name in enumerate(labels)
        },
        width=len(bins[0]),
    )


def middle(one: range) -> float:
    """Of a bin's positions; a whole number where there is one."""
    total = one.start + one.stop - 1
    return total / 2 if total % 2 else total // 2


def _num_traces(found: Bands, bins: Sequence[range]) -> list[int]:
    """At each position; the mean over those of a bin, rounded down."""
    return [n // len(one) for n, one in zip(found.num_traces.tolist(), bins, strict=True)]


def _placed(reader: StudyReader, use: Use, labels: Sequence[Label]) -> tuple[PlacedLabels, int]:
    """Every labelled sentence, and the number of questions."""
    rows = reader.query(f"""
        WITH problems AS (
            SELECT trace_id, dense_rank() OVER (ORDER BY problem_id) - 1 AS question
            FROM {reader.relation(Trace, use)}),
        placed AS (
            SELECT trace_id, label,
                row_number() OVER (PARTITION BY trace_id ORDER BY position) - 1 AS ordinal
            FROM {reader.relation(Provenance, use)})
        SELECT question, ordinal, {codes("label", labels, -1)} AS label,
            {codes("outcome", OUTCOMES, OUTCOMES.index(Outcome.UNGRADED))} AS outcome
        FROM placed JOIN problems USING (trace_id)
        LEFT JOIN {reader.relation(Grade, use)} USING (trace_id)
        WHERE label IS NOT NULL""")
    columns = {name: rows[name].to_numpy().astype(np.int64) for name in rows.column_names}
    num_questions = int(columns["question"].max(initial=-1)) + 1
    side = sides_of(columns.pop("outcome"))
    return PlacedLabels(**columns, side=side), num_questions


def _points(found: Bands, label: int, bins: Sequence[range]) -> list[list[float | None]]:
    columns = (found.share[:, label], found.low[:, label], found.high[:, label])
    points = np.stack(columns, axis=1).round(DIGITS).tolist()
    return [
        [None if value != value or n < MIN_TRACES else value for value in point]
        for point, n in zip(points, _num_traces(found, bins), strict=True)
    ]
