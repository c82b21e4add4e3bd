"""Which path is said to be faster."""

from __future__ import annotations

from pathlib import Path

from rdpt_core.machine.processor import cpu_flags, has_gpu
from rdpt_core.scoring.paths import faster_path


def test_compiling_is_advised_where_it_was_seen_to_pay() -> None:
    units = frozenset({"avx2", "amx_bf16"})
    assert faster_path("bfloat16", False, units)[0] == "compiled"
    assert faster_path("bfloat16", False, frozenset({"avx2"}))[0] == "exact"
    assert faster_path("float32", False, units)[0] == "exact"
    assert faster_path("bfloat16", True, units)[0] == "exact"


def test_flags_are_read_where_the_system_says_them(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor : 0\nflags\t\t: fpu avx2 amx_bf16\n")
    assert cpu_flags(file) == {"fpu", "avx2", "amx_bf16"}
    assert cpu_flags(tmp_path / "none") == frozenset()
    assert has_gpu("cuda")
    assert not has_gpu("cpu")
