"""Commands that only look answer at once: they import nothing that computes."""

from __future__ import annotations

import subprocess
import sys

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
LOOKS = ("cli", "faults", "verbs", "status", "sql", "why", "comparing")


def test_commands_that_only_look_import_nothing_that_computes() -> None:
    """They took five seconds of a processor to say a line."""
    script = f"import sys, {', '.join(f'flows.{module}' for module in LOOKS)}; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert HEAVY & set(found.stdout.split()) == set()
