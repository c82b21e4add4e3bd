"""Coverage-guided fuzzing, outside the suite: `pip install atheris`, then

    python -m tests.fuzz text CORPUS -max_total_time=600
    python -m tests.fuzz jsonl CORPUS -max_len=4096      # or parquet, toml

CORPUS is a folder with a few good inputs; the fuzzer adds inputs that reach new code. It writes
failing inputs to crash-*: add them as examples to `test_properties.py`, then fix the code.
"""

from __future__ import annotations

import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

atheris: Any = import_module("atheris")  # not a dependency of the project

with atheris.instrument_imports(include=["rdpt_core", "settings", "tomllib"]):
    from tests.fuzz import targets


def main(name: str, arguments: list[str]) -> None:
    """Never returns: libFuzzer exits the process itself."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))

    def run(raw: bytes) -> None:
        if name not in targets.FILES:
            targets.text(raw)
            return
        target, file = targets.FILES[name]
        (folder / file).write_bytes(raw)
        target(folder / file)

    atheris.Setup(arguments, run)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], [sys.argv[0], *sys.argv[2:]])
