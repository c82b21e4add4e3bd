"""A reader who follows the tutorials."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INDEX = ROOT / "docs" / "tutorials" / "README.md"
COMMANDS = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LOGIN_PATH = "/usr/local/bin:/usr/bin:/bin"
Reader = Callable[[str], str]
"""Types the commands of a page and returns what they print."""


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader's, whose workspace all pages share, so that `smoke` is built once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def reader(home: Path, tmp_path: Path) -> Reader:
    """Types in an empty folder, after the commands of the index, into a shell that knows only what
    every login gives: whatever a page needs, the pages themselves must have said."""

    def types(page: str) -> str:
        typed = [f'cd "{ROOT}"', commands(INDEX.read_text()), f'cd "{tmp_path}"', commands(page)]
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
        return said

    return types


def commands(page: str) -> str:
    return "\n".join(COMMANDS.findall(page))
