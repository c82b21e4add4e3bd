"""The figure of class shares: an image, the same each time."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from rdpt_core.provenance.curves import OUTCOMES, PositionCounts
from rdpt_core.provenance.labels import LABELS
from rdpt_core.report.figures.by_position import DPI, WIDTH, class_shares
from rdpt_core.tables.rows import Outcome


def counts_of(num_positions: int, num_traces: int) -> PositionCounts:
    counts = np.zeros((len(OUTCOMES), num_positions, len(LABELS) + 1), dtype=np.int64)
    for outcome in (Outcome.CORRECT, Outcome.WRONG):
        for k in range(num_positions):
            counts[OUTCOMES.index(outcome), k, k % len(LABELS)] = num_traces
    return PositionCounts(counts)


@pytest.mark.parametrize("num_positions", [0, 1, 12])
def test_any_counts_give_an_image(num_positions: int) -> None:
    image = class_shares(counts_of(num_positions, 20), "an arm on a benchmark", 10)
    assert image.startswith(b"\x89PNG")
    assert struct.unpack(">I", image[16:20])[0] == pytest.approx(WIDTH * DPI, abs=1)


def test_the_same_counts_give_the_same_bytes() -> None:
    images = {class_shares(counts_of(12, 20), "an arm", 10) for _ in range(2)}
    assert len(images) == 1


def test_positions_with_few_traces_are_not_drawn() -> None:
    counts = counts_of(12, 20)
    assert class_shares(counts, "an arm", 10) != class_shares(counts, "an arm", 21)
