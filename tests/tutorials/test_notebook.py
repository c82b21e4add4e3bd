"""The notebook runs: its shell commands first, then its cells in order, in one namespace."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs" / "tutorials" / "notebook.ipynb"
pytestmark = pytest.mark.timeout(900)
CHECK = """
import numpy as np

lines = {
    (axes.get_title(), line.get_label()): np.asarray(line.get_ydata())
    for axes in plt.gcf().axes
    for line in axes.get_lines()
}
of_one = found[found["configuration"] == "random"]
for (name, side), rows in of_one.groupby(["label", "side"]):
    np.testing.assert_array_equal(lines[f"{LETTERS[name]} {name}", side], rows["share"])
assert len(lines) == 8, lines.keys()
assert label(*columns) == [None if pd.isna(one) else one for one in sentences["label"]]
"""
"""The curves that are drawn are those of `curves`, and `label` repeats the labels of the run."""


@pytest.fixture(scope="module")
def notebook() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(NOTEBOOK.read_text())
    return found


def sources(notebook: dict[str, Any], kind: str) -> list[str]:
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == kind]


@pytest.mark.skipif(
    Path(sys.prefix) != ROOT / ".venv",
    reason="readers have the .venv that ./rdpt prepares: make test runs these",
)
def test_its_cells_run(
    notebook: dict[str, Any], reader: Callable[[str], str], tmp_path: Path
) -> None:
    (tmp_path / "cells.py").write_text("\n".join([*sources(notebook, "code"), CHECK]))
    run = '```bash\nMPLBACKEND=agg "$ROOT/.venv/bin/python" cells.py\n```'
    reader("\n".join([*sources(notebook, "markdown"), run]))


def test_it_holds_no_output_of_another_run(notebook: dict[str, Any]) -> None:
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["outputs"] for cell in cells] == [[]] * len(cells)
    assert {cell["execution_count"] for cell in cells} == {None}
