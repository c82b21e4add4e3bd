"""Which numerical path is faster on a machine, from what was measured (see perf/README.md)."""

from __future__ import annotations

from collections.abc import Collection

from rdpt_core.defaults import FloatFormat
from rdpt_core.machine.processor import MATRIX_UNITS
from rdpt_core.models.spec import ScoringPath


def faster_path(weights: FloatFormat, gpu: bool, flags: Collection[str]) -> tuple[ScoringPath, str]:
    """The path and the reason, for people. `flags` are the CPU's."""
    if gpu:
        return "exact", "compiling was not measured on a GPU; perf/scoring.py compares the two"
    if weights == "bfloat16" and MATRIX_UNITS & set(flags):
        reason = (
            "with bfloat16 units the products are quick and the element-wise work counts: compiled "
            "should score some 1.2 times as many tokens, after minutes of compiling that are kept "
            "on disk, so it pays where scoring takes a quarter of an hour; perf/scoring.py measures"
        )
        return "compiled", reason
    if weights == "bfloat16" and flags:
        reason = (
            "this CPU has no bfloat16 units: products are multiplied in float32, which takes "
            'nearly all the time; dtype = "float32" is more exact, and writes traces faster'
        )
        return "exact", reason
    return "exact", (
        f"products of {weights} take nearly all the time: compiled gains less than a tenth, and "
        "takes minutes to compile"
    )
