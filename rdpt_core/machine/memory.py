"""Whether an error says that memory ran out."""

from __future__ import annotations

import sys


def is_out_of_memory(error: BaseException) -> bool:
    """The CUDA allocator's error, Python's, or the CPU allocator's, which has no type."""
    torch = sys.modules.get("torch")  # without it nobody has raised its error
    if isinstance(error, MemoryError) or (torch and isinstance(error, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
