"""Commands that only look answer at once: they import nothing that computes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from flows.cli import VERBS

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
    modules = {verb.place.partition(":")[0] for verb in VERBS.values()}
    script = f"import sys, flows.errors, {', '.join(modules)}; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert HEAVY & set(found.stdout.split()) == set()


@pytest.mark.parametrize("verb", ["run", "resume"])
def test_help_of_what_builds_reads_no_table_library(verb: str) -> None:
    script = (
        f"import sys; from flows.cli import main; main(['{verb}', '--help']); print(*sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    help_text, _, modules = found.stdout.rstrip().rpartition("\n")
    assert f"usage: rdpt {verb}" in help_text
    assert (HEAVY | {"numpy", "pyarrow", "duckdb"}) & set(modules.split()) == set()
