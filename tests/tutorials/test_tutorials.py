"""Every command of the tutorials runs, in the order in which a reader types it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(900)
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
COMMANDS = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SAYS = {
    "first-run": ["cached", "up to date", "rule.beta: 0.1 -> 0.2", "MLflow"],
    "own-traces": ['"outcome": "wrong"', "teacher", "eligible", '"messages"'],
    "distilled-model": [
        "model.safetensors",
        "label",
        "by-base (written by the student)",
        "typical",
    ],
    "comparing-selectors": ["seed2", "short", "accuracy"],
    "sql": ["accuracy", "gap", "tokens_seen"],
    "teacher-behind-a-server": ["probed; it speaks as vllm", "pool", '"source": "server"'],
}


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One workspace for all pages, so that `smoke` is built once."""
    folder = tmp_path_factory.mktemp("tutorials")
    for name, runs in (("rdpt", "-m flows.cli"), ("python", "")):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {runs} "$@"\n')
        script.chmod(0o755)
    return {
        **os.environ,
        "ROOT": str(ROOT),
        "PYTHONPATH": str(ROOT),
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "RDPT_WORKSPACE": str(folder / "workspace"),
        "NO_COLOR": "1",
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_reader_can_type_it(page: Path, environment: dict[str, str], tmp_path: Path) -> None:
    commands = "\n".join(COMMANDS.findall(page.read_text()))
    done = subprocess.run(
        ["bash", "-eu", "-c", commands],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    for words in SAYS.get(page.stem, []):
        assert words in said, f"{page.stem} no longer shows {words!r}:\n{said[-3000:]}"


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "tutorials" / "README.md").read_text()
    assert set(re.findall(r"\(([\w-]+\.md)\)", index)) == {p.name for p in PAGES} - {"README.md"}
