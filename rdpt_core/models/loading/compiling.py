"""The compiled path: element-wise work of the decoder fused by torch.compile.

What the compiler made is kept on disk between runs.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

MOST_GRAPHS = 64
"""Compiled graphs of all models that a process holds at the same time."""


def compile_decoder(decoder: PreTrainedModel) -> Callable[..., Any]:
    """The decoder, which compiles itself at the first pack of each size. Needs a C++ compiler on
    the CPU.

    torch counts graphs by the code that they are of, which models share, and above its limit goes
    on uncompiled without a word. So what earlier models left is dropped first (one that is still
    in use finds its graphs on disk), and reaching the limit is an error.
    """
    # Imported here: with a CUDA toolkit and no GPU, as on a login node, it writes a warning.
    from torch.utils import cpp_extension

    # torch 2.13 splits its linker's command like a shell and quotes every folder in it but this
    # one, so an environment whose path holds a space compiled nothing.
    cpp_extension.TORCH_LIB_PATH = shlex.quote(str(Path(torch.__file__).parent / "lib"))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    torch._dynamo.config.recompile_limit = MOST_GRAPHS
    torch._dynamo.config.fail_on_recompile_limit_hit = True
    compiled: Callable[..., Any] = torch.compile(decoder, dynamic=False)
    return compiled


def num_graphs() -> int:
    """That were compiled in this process since the last model was loaded."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])
