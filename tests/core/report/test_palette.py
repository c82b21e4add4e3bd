"""Classes can be told apart: by letter and line, and by colour whatever colours a reader sees."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from rdpt_core.provenance.labels import FOUR_WAY, LABELS
from rdpt_core.report.palette import (
    DARK_FILLS,
    DARK_LINES,
    DARK_TEXT,
    FILLS,
    LETTERS,
    LINES,
    ROLE_LINES,
    ROLE_STYLES,
    ROLES,
    STYLES,
    TEXT,
)

Floats = NDArray[np.float64]
SIGHT = {
    "normal": np.eye(3),
    "protan": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deutan": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritan": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
"""Matrices of linear RGB for a full deficiency (Machado, Oliveira and Fernandes, 2009)."""
TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
TO_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
DISTANCES = {
    "light": {"normal": 14.7, "protan": 12.0, "deutan": 9.6, "tritan": 11.4},
    "dark": {"normal": 16.9, "protan": 13.7, "deutan": 16.7, "tritan": 10.6},
}
"""Smallest between any two of the four fills, in OKLab times 100."""


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize(("theme", "fills"), [("light", FILLS), ("dark", DARK_FILLS)])
def test_fills_are_apart_for_every_kind_of_sight(
    theme: str, fills: Mapping[str, str], sight: str
) -> None:
    seen = [oklab(np.clip(SIGHT[sight] @ linear(fills[name]), 0, 1)) for name in FOUR_WAY]
    smallest = min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2))
    assert 100 * smallest == pytest.approx(DISTANCES[theme][sight], abs=0.051)


def test_text_is_readable_on_every_fill() -> None:
    assert min(contrast(TEXT, fill) for fill in FILLS.values()) >= 7.5
    assert min(contrast(DARK_TEXT, fill) for fill in DARK_FILLS.values()) >= 4.6


def test_lines_are_visible_on_their_ground() -> None:
    assert min(contrast(line, "#FFFFFF") for line in LINES.values()) >= 4.5
    assert min(contrast(line, "#1A1A1A") for line in DARK_LINES.values()) >= 4.5
    assert min(contrast(line, "#FFFFFF") for line in ROLE_LINES.values()) >= 3


def test_classes_differ_by_letter_and_line_too() -> None:
    for look in (LETTERS, STYLES, LINES, FILLS, DARK_LINES, DARK_FILLS):
        assert len({look[name] for name in FOUR_WAY}) == len(FOUR_WAY)
    for look in (ROLE_LINES, ROLE_STYLES):
        assert len({look[role] for role in ROLES}) == len(ROLES)


def test_every_class_has_a_look() -> None:
    for look in (LETTERS, STYLES, LINES, FILLS, DARK_LINES, DARK_FILLS):
        assert set(look) == set(LABELS)


def test_the_palette_imports_nothing() -> None:
    script = "import sys, rdpt_core.report.palette; print(*sys.modules)"
    command = [sys.executable, "-c", script]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not {"numpy", "pyarrow", "matplotlib", "rich"} & set(found.stdout.split())


def oklab(rgb: Floats) -> Floats:
    """OKLab coordinates of linear RGB (Ottosson, 2020)."""
    return np.asarray(TO_OKLAB @ np.cbrt(TO_LMS @ rgb))


def contrast(one: str, other: str) -> float:
    """WCAG 2 ratio of relative luminances."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    bright, dark = sorted((float(linear(c) @ weights) for c in (one, other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def linear(colour: str) -> Floats:
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
