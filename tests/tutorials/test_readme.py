"""The README's own traces: its commands run in the project's folder and pick what they should."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.mark.skipif(
    Path(sys.prefix) != ROOT / ".venv",
    reason="readers have the .venv that ./rdpt prepares: make test runs this",
)
def test_own_traces_are_read_and_the_teachers_style_is_picked(tmp_path: Path) -> None:
    """In a folder that holds what the commands name, so that the project's stays clean."""
    (tmp_path / "rdpt_core").symlink_to(ROOT / "rdpt_core")
    (tmp_path / "rdpt").write_text(f'#!/bin/sh\nexec "{ROOT}/rdpt" "$@"\n')
    (tmp_path / "rdpt").chmod(0o755)
    done = subprocess.run(
        ["bash", "-eu", "-c", "\n".join(COMMANDS.findall((ROOT / "README.md").read_text()))],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": "/usr/local/bin:/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    answers = [row["messages"][-1]["content"] for row in rows]
    assert len(answers) == 2
    assert any(answer.startswith("Plan: from Tom to Ida.") for answer in answers)
