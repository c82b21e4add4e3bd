"""What this machine computes with, found without torch, whose import takes seconds."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

MATRIX_UNITS = frozenset({"amx_bf16", "avx512_bf16"})
"""Flags of CPUs with units for products of bfloat16."""


def cpu_flags(file: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """What the CPU says that it can; empty where it does not say."""
    try:
        found = re.search(r"^flags\s*:(.*)$", file.read_text(), re.MULTILINE)
    except OSError:
        return frozenset()
    return frozenset(found.group(1).split()) if found else frozenset()


@cache
def has_units() -> bool:
    """True if the CPU multiplies bfloat16 in units of its own, or does not say what it has."""
    flags = cpu_flags()
    return not flags or bool(MATRIX_UNITS & flags)


def has_gpu(device: str) -> bool:
    return device == "cuda" or (device == "auto" and Path("/dev/nvidiactl").exists())


def gpus(folder: Path = Path("/dev")) -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name.strip()]
    numbers = (path.name.removeprefix("nvidia") for path in folder.glob("nvidia[0-9]*"))
    return sorted((number for number in numbers if number.isdigit()), key=int)
