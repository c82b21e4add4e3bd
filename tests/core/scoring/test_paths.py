"""Which path is said to be faster."""

from __future__ import annotations

from rdpt_core.scoring.paths import faster_path


def test_compiling_is_advised_where_it_was_seen_to_pay() -> None:
    units = frozenset({"avx2", "amx_bf16"})
    assert faster_path("bfloat16", False, units)[0] == "compiled"
    assert faster_path("bfloat16", False, frozenset({"avx2"}))[0] == "exact"
    assert faster_path("float32", False, units)[0] == "exact"
    assert faster_path("bfloat16", True, units)[0] == "exact"
