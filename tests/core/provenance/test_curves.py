"""Position curves and the areas between them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdpt_core.provenance.curves import (
    CurveRule,
    PositionCounts,
    area,
    areas,
    curves,
    last_position,
    position_counts,
    smoothed,
)
from rdpt_core.provenance.labels import FOUR_WAY, LABELS
from rdpt_core.tables.rows import Label, Outcome, Provenance

T, B = LABELS.index(Label.TEACHER), LABELS.index(Label.BOOSTED)


def rows(trace_id: str, *labels: Label | None, first: int = 0) -> list[Provenance]:
    return [
        Provenance(trace_id, first + position, label, None, None, None, None, None, None)
        for position, label in enumerate(labels)
    ]


def test_shares_are_of_the_traces_that_have_a_kth_sentence() -> None:
    part = [
        *rows("a", Label.TEACHER, Label.BOOSTED),
        *rows("b", Label.BOOSTED),
        *rows("c", Label.SHARED, Label.SHARED),
    ]
    outcome = {"a": Outcome.CORRECT, "b": Outcome.CORRECT, "c": Outcome.WRONG}
    found = curves(position_counts(part, outcome), CurveRule())
    assert found.num_traces.tolist() == [[2, 1], [1, 1]]
    assert found.share[0, :, T].tolist() == [0.5, 0.0]
    assert found.share[0, :, B].tolist() == [0.5, 1.0]


def test_positions_count_sentences_outside_tags() -> None:
    # Row positions 1, 3, 4: the tags before have no row.
    part = rows("a", Label.TEACHER, first=1) + rows("a", Label.BOOSTED, Label.SHARED, first=3)
    found = curves(position_counts(part[::-1], {"a": Outcome.CORRECT}), CurveRule())
    assert found.share[0].argmax(axis=1).tolist() == [T, B, LABELS.index(Label.SHARED)]


def test_a_missing_label_keeps_its_position_and_leaves_the_share() -> None:
    part = [*rows("a", None, Label.TEACHER), *rows("b", Label.BOOSTED, None, None)]
    found = curves(position_counts(part, dict.fromkeys("ab", Outcome.CORRECT)), CurveRule())
    assert found.num_traces[0].tolist() == [1, 1, 0]
    assert found.num_unlabelled[0].tolist() == [1, 1, 1]
    assert found.share[0, 0, B] == found.share[0, 1, T] == 1
    assert np.isnan(found.share[0, 2]).all()


def test_truncated_is_incorrect_on_request_only_and_a_timeout_never() -> None:
    part = [*rows("a", Label.TEACHER), *rows("b", Label.TEACHER), *rows("c", Label.TEACHER)]
    outcome = {"a": Outcome.TRUNCATED, "b": Outcome.UNPARSED, "c": Outcome.TIMEOUT}
    counts = position_counts(part, outcome)
    assert curves(counts, CurveRule()).num_traces[1, 0] == 1
    assert curves(counts, CurveRule(with_truncated=True)).num_traces[1, 0] == 2


parts = st.lists(
    st.tuples(
        st.lists(st.sampled_from([*FOUR_WAY, None]), min_size=1, max_size=5),
        st.sampled_from([Outcome.CORRECT, Outcome.WRONG, Outcome.TRUNCATED]),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=50, deadline=None)
@given(parts)
def test_identities(drawn: list[tuple[list[Label | None], Outcome]]) -> None:
    traces = [rows(f"t{i}", *labels) for i, (labels, _) in enumerate(drawn)]
    outcome = {f"t{i}": side for i, (_, side) in enumerate(drawn)}
    counts = position_counts([row for trace in traces for row in trace], outcome)
    by_part = PositionCounts.none()
    for trace in reversed(traces):
        by_part = by_part + position_counts(trace, outcome)
    assert (by_part.counts == counts.counts).all()  # any order, any parts

    found = curves(counts, CurveRule())
    sums = found.share.sum(axis=2)
    assert np.allclose(sums[~np.isnan(sums)], 1)

    swap = {Outcome.CORRECT: Outcome.WRONG, Outcome.WRONG: Outcome.CORRECT}
    swapped = {trace: swap.get(side, side) for trace, side in outcome.items()}
    other = curves(
        position_counts([row for trace in traces for row in trace], swapped), CurveRule()
    )
    d, negated = area(found, 800), area(other, 800)
    assert d.num_positions + d.num_left_out == min(found.share.shape[1], 800)
    if d.by_label is None:
        assert negated.by_label is None
        return
    assert sum(d.by_label.values()) == pytest.approx(0, abs=1e-9)
    assert negated.by_label is not None
    assert {name: -x for name, x in negated.by_label.items()} == pytest.approx(d.by_label)


def test_there_is_no_smoothing_below_101_points() -> None:
    assert smoothed(np.full((100, 5), 0.2)) is None
    assert smoothed(np.full((101, 5), 0.2)) is not None


def test_the_filter_returns_a_quadratic_unchanged_edges_included() -> None:
    k = np.arange(150.0)
    curve = np.column_stack([1e-4 * k**2 - 0.01 * k + 0.3] * 5)
    found = smoothed(curve)
    assert found is not None
    assert np.allclose(found, curve)


def test_smoothed_shares_still_sum_to_one_and_gaps_stay_gaps() -> None:
    share = np.random.default_rng(0).dirichlet(np.ones(5), 140)
    share[60] = np.nan
    found = smoothed(share)
    assert found is not None
    assert np.isnan(found[60]).all()
    assert np.allclose(np.delete(found, 60, axis=0).sum(axis=1), 1)


def test_t35_reaches_of_the_area() -> None:
    # Correct traces are all Teacher, wrong ones all Boosted, so D_teacher counts positions.
    counts = np.zeros_like(PositionCounts.none().counts, shape=(6, 1000, 6))
    order = list(Outcome)
    counts[order.index(Outcome.CORRECT), :, T] = 50
    counts[order.index(Outcome.WRONG), :900, B] = 50
    counts[order.index(Outcome.WRONG), 600:900, B] = 3
    found = areas(curves(PositionCounts(counts), CurveRule()), CurveRule())
    assert {name: one.by_label and one.by_label[Label.TEACHER] for name, one in found.items()} == {
        "early": 800,
        "full": 900,
        "kstar": 600,
    }
    assert found["full"].num_left_out == 100
    assert last_position(curves(PositionCounts(counts), CurveRule()), 51) == 0


def test_without_both_sides_there_is_no_area() -> None:
    counts = position_counts(rows("a", Label.TEACHER), {"a": Outcome.CORRECT})
    assert area(curves(counts, CurveRule()), 800).by_label is None
    assert area(curves(PositionCounts.none(), CurveRule()), 800).by_label is None
