"""Packs are nearly full."""

from __future__ import annotations

from collections import Counter
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from rdpt_core.scoring.packing import packed


def test_packs_are_full_and_a_long_trace_is_alone() -> None:
    lengths = {0: 30, 1: 70, 2: 200, 3: 50, 4: 20, 5: 50}
    found = packed(lengths, lengths, 100)
    assert found == [[2], [1, 0], [3, 5], [4]]
    again = dict(reversed(lengths.items()))
    assert packed(again, again, 100) == found


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 60))
def test_packing_loses_no_example_and_overfills_no_row(lengths: list[int], capacity: int) -> None:
    rows = packed(range(len(lengths)), lengths, capacity)
    assert Counter(chain(*rows)) == Counter(range(len(lengths)))
    for row in rows:
        assert len(row) == 1 or sum(lengths[i] for i in row) <= capacity
    half_full = [row for row in rows if 2 * sum(lengths[i] for i in row) <= capacity]
    assert len(half_full) <= 1, "two such rows would fit into one"
