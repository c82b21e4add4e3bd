"""The notebook runs: its shell commands first, then its cells in order, in one namespace."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs" / "tutorials" / "notebook.ipynb"
COMMANDS = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)
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


def test_its_cells_run(notebook: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "rdpt").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m flows.cli "$@"\n')
    (tmp_path / "rdpt").chmod(0o755)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "RDPT_WORKSPACE": str(tmp_path / "workspace"),
        "MPLBACKEND": "agg",
    }
    (typed,) = COMMANDS.findall("\n".join(sources(notebook, "markdown")))
    cells = "\n".join([*sources(notebook, "code"), CHECK])
    for command in (["bash", "-eu", "-c", typed], [sys.executable, "-c", cells]):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


def test_it_holds_no_output_of_another_run(notebook: dict[str, Any]) -> None:
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["outputs"] for cell in cells] == [[]] * len(cells)
    assert {cell["execution_count"] for cell in cells} == {None}
