"""What the processor says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from rdpt_core.machine import processor
from rdpt_core.machine.processor import cpu_flags, has_gpu


def test_flags_are_read_where_the_system_says_them(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor : 0\nflags\t\t: fpu avx2 amx_bf16\n")
    assert cpu_flags(file) == {"fpu", "avx2", "amx_bf16"}
    assert cpu_flags(tmp_path / "none") == frozenset()
    assert has_gpu("cuda")
    assert not has_gpu("cpu")


@pytest.mark.parametrize(("flags", "units"), [("avx2", False), ("avx2 amx_bf16", True), ("", True)])
def test_a_cpu_says_whether_it_has_units(
    flags: str, units: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "cpu_flags", lambda: frozenset(flags.split()))
    assert processor.has_units.__wrapped__() is units
