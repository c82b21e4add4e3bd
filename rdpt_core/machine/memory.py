"""Recognising errors that mean out of memory."""

from __future__ import annotations

import sys


def is_out_of_memory(error: BaseException) -> bool:
    """True for the CUDA allocator's error, Python's, and the CPU allocator's, which has no type."""
    torch = sys.modules.get("torch")  # if torch is not loaded, it cannot have raised the error
    if isinstance(error, MemoryError) or (torch and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
