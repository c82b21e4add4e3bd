"""Every command of the tutorials runs, in the order in which a reader types it.

The shell has an empty environment but for what every login gives: whatever a page needs, the pages
themselves must have said.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = ROOT / "docs" / "tutorials"
PAGES = sorted(set(TUTORIALS.glob("*.md")) - {TUTORIALS / "README.md"})
COMMANDS = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LOGIN_PATH = "/usr/local/bin:/usr/bin:/bin"
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
pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        Path(sys.prefix) != ROOT / ".venv",
        reason="readers have the .venv that ./rdpt prepares: make test runs these",
    ),
]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader's, whose workspace all pages share, so that `smoke` is built once."""
    return tmp_path_factory.mktemp("home")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_reader_can_type_it(page: Path, home: Path, tmp_path: Path) -> None:
    typed = [
        f'cd "{ROOT}"',
        commands(TUTORIALS / "README.md"),
        f'cd "{tmp_path}"',
        commands(page),
    ]
    done = subprocess.run(
        ["bash", "-eu", "-c", "\n".join(typed)],
        env={"HOME": str(home), "PATH": LOGIN_PATH},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    for words in SAYS.get(page.stem, []):
        assert words in said, f"{page.stem} no longer shows {words!r}:\n{said[-3000:]}"


def commands(page: Path) -> str:
    return "\n".join(COMMANDS.findall(page.read_text()))


def test_the_index_names_every_page() -> None:
    index = (TUTORIALS / "README.md").read_text()
    assert set(re.findall(r"\(([\w-]+\.md)\)", index)) == {page.name for page in PAGES}
