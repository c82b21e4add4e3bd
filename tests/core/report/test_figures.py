"""The figure of class shares: an image, told apart without colour, the same each time."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from rdpt_core.provenance.curves import OUTCOMES, PositionCounts
from rdpt_core.provenance.labels import FOUR_WAY, LABELS
from rdpt_core.report.figures import DPI, FILLS, LETTERS, LINES, STYLES, TEXT, WIDTH, class_shares
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


def test_classes_differ_by_letter_and_line_too() -> None:
    for look in (LETTERS, STYLES, LINES, FILLS):
        assert len({look[name] for name in FOUR_WAY}) == len(FOUR_WAY)


@pytest.mark.parametrize("name", FOUR_WAY)
def test_text_and_lines_are_readable(name: str) -> None:
    from rdpt_core.tables.rows import Label

    assert contrast(TEXT, FILLS[Label(name)]) >= 7
    assert contrast(LINES[Label(name)], "#FFFFFF") >= 4.5


def contrast(one: str, other: str) -> float:
    """WCAG 2 ratio of relative luminances."""
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
