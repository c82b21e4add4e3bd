"""What one position's distribution says about the token that came: log-probability, rank, entropy.

Logits are made in chunks of positions, so that a long trace under a large vocabulary never holds
all of its logits. Softmax is float32 at temperature 1 whatever the weights' dtype: a bfloat16 one
is off by 0.02 nats a token.

Shapes: N positions, C positions of a chunk, D hidden width, V ids of the tokenizer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CHUNK = 512
"""Most positions whose logits exist at once."""
CHUNK_ELEMENTS = 1 << 25
"""Most elements of a chunk: 128 MiB in float32, 220 positions at 152k ids."""

Head = Callable[[Tensor], Tensor]
"""Hidden states [C, D] to float32 logits [C, V]."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """One entry per target, parallel arrays."""

    logprobs: NDArray[np.float32]
    ranks: NDArray[np.uint32]
    entropies: NDArray[np.float16]
    sum_squares: NDArray[np.float16]
    top_mass: NDArray[np.float16] | None
    """Probability of the k likeliest ids; None unless asked for."""
    top_squares: NDArray[np.float16] | None


def statistics(
    hidden_ND: Tensor, targets_N: Tensor, head: Head, num_ids: int, topk: int | None = None
) -> Statistics:
    """Statistics of `targets_N[i]` under the distribution that `hidden_ND[i]` predicts."""
    step = max(1, min(CHUNK, CHUNK_ELEMENTS // num_ids))
    chunks = [
        _chunk(head(hidden_ND[at : at + step]), targets_N[at : at + step], topk)
        for at in range(0, max(1, len(targets_N)), step)
    ]
    columns = [torch.cat(column).cpu().numpy() for column in zip(*chunks, strict=True)]
    logprobs, ranks, entropies, squares, *top = columns
    half = [values.astype(np.float16) for values in (entropies, squares, *top)]
    return Statistics(
        logprobs=logprobs.astype(np.float32),
        ranks=ranks.astype(np.uint32),
        entropies=half[0],
        sum_squares=half[1],
        top_mass=half[2] if topk else None,
        top_squares=half[3] if topk else None,
    )


def _chunk(logits_CV: Tensor, targets_C: Tensor, topk: int | None) -> list[Tensor]:
    target_C1 = logits_CV.gather(1, targets_C[:, None])
    ranks_C = (logits_CV > target_C1).sum(1) + 1
    normaliser_C1 = logits_CV.logsumexp(1, keepdim=True)
    logprobs_CV = logits_CV.sub_(normaliser_C1)
    p_CV = logprobs_CV.exp()
    # A masked id has p = 0 and logprob = -inf; its product is 0 in the limit, but NaN in floats.
    entropies_C = -(p_CV * logprobs_CV.clamp_min(-1e4)).sum(1)
    squares_C = torch.linalg.vecdot(p_CV, p_CV)
    found = [(target_C1 - normaliser_C1)[:, 0], ranks_C, entropies_C, squares_C]
    if topk:
        top_CK = p_CV.topk(min(topk, p_CV.shape[1]), dim=1).values
        found += [top_CK.sum(1), top_CK.square().sum(1)]
    return found
