"""Commands that only look answer at once: they import nothing that computes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT

HEAVY = {
    "torch",
    "scipy",
    "transformers",
    "mlflow",
    "prefect",
    "datasets",
    "pandas",
    "numba",
    "matplotlib",
    "trl",
    "peft",
    "accelerate",
    "sympy",
}


def test_no_verb_imports_what_computes_before_it_acts() -> None:
    """It took five seconds of a processor to say a line."""
    modules = [
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for folder in ("flows/verbs", "flows/commands", "flows/tools")
        for path in (ROOT / folder).glob("*.py")
    ]
    script = f"import sys, flows.errors, {', '.join(modules)}; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert HEAVY & set(found.stdout.split()) == set()


@pytest.mark.parametrize("line", ["frobnicate", "--frobnicate", "plan --alhpa 2", "run"])
def test_a_mistake_loads_nothing_that_computes(line: str) -> None:
    """It took 0.4 s of a processor more, half of it for numpy."""
    script = "import sys; from flows.cli import main; print(main(sys.argv[1:]), *sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", script, *line.split()], capture_output=True, text=True, check=True
    )
    code, *modules = found.stdout.split()
    assert code == "2"
    assert "rdpt" in found.stderr
    assert (HEAVY | {"numpy", "pyarrow", "duckdb", "rich"}) & set(modules) == set()
