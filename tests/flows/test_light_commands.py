"""Commands that only look answer at once: they import nothing that computes."""

from __future__ import annotations

import subprocess
import sys

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
