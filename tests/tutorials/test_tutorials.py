"""Every command of the tutorials runs, in the order in which a reader types it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = ROOT / "docs" / "tutorials"
PAGES = sorted(set(TUTORIALS.glob("*.md")) - {TUTORIALS / "README.md"})
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
    "sql": ["accuracy", "advantage", "tokens_seen", "similarity", "learnt_trace_id"],
    "teacher-behind-a-server": ["probed; it speaks as vllm", "pool", '"source": "server"'],
}
pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        Path(sys.prefix) != ROOT / ".venv",
        reason="readers have the .venv that ./rdpt prepares: make test runs these",
    ),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_reader_can_type_it(page: Path, reader: Callable[[str], str]) -> None:
    said = reader(page.read_text())
    for words in SAYS.get(page.stem, []):
        assert words in said, f"{page.stem} no longer shows {words!r}:\n{said[-3000:]}"


def test_the_index_names_every_page() -> None:
    index = (TUTORIALS / "README.md").read_text()
    assert set(re.findall(r"\(([\w-]+\.md)\)", index)) == {page.name for page in PAGES}
