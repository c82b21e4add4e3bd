"""Attention over a pack: several sequences laid end to end, none of which sees another.

The pack is one row, so no position is padding and every other layer is one large product. Here
alone the sequences are taken apart, each attending to itself, so work grows with the sum of the
squared lengths and not with the square of their sum.

Shapes: N positions of the pack, H heads, G heads of keys and values, W width of a head.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

NAME = "rdpt_packed"
QUERIES = 1024
"""Most queries whose mask or scores exist at once, where no kernel does without them."""


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    edges: Tensor | None = None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """An attention function as transformers calls it: query [1, H, N, W], key and value
    [1, G, M, W] with M > N only where the pack is the end of one sequence whose start is cached.

    `edges` are the places where sequences begin, and N; on the CPU, whatever the device. What
    `sliding_window`, `softcap` and `s_aux` (a sink per head) are is the architecture's to say.
    Returns [1, N, H, W].
    """
    if attention_mask is not None or edges is None:
        raise ValueError("a pack has edges, which say what sees what, and no mask")
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    out = attend(query, key, value, edges, scale, sliding_window, softcap, s_aux)
    return out.transpose(1, 2), None


@torch.library.custom_op("rdpt::attend", mutates_args=())
def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    edges: Tensor,
    scale: float,
    window: int | None,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """One operation to the compiler, which would otherwise compile every set of lengths anew."""
    out = query.new_empty(*query.shape[:-1], value.shape[-1])
    cached = key.shape[2] - query.shape[2]
    for start, stop in pairwise(edges.tolist()):
        one = query[:, :, start:stop]
        keys, values = (states[:, :, start : stop + cached] for states in (key, value))
        within = window is None or keys.shape[2] <= window
        if within and not cached and softcap is None and sinks is None:
            out[:, :, start:stop] = scaled_dot_product_attention(
                one, keys, values, is_causal=True, scale=scale, enable_gqa=True
            )
        else:
            seen = None if within else window
            out[:, :, start:stop] = _by_queries(one, keys, values, scale, seen, softcap, sinks)
    return out


@attend.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, *_: Any) -> Tensor:
    return query.new_empty(*query.shape[:-1], value.shape[-1])


def _by_queries(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale: float,
    window: int | None,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """Attention of the last N of M positions, some queries at a time."""
    offset = key.shape[2] - query.shape[2]
    found = []
    for at in range(0, query.shape[2], QUERIES):
        part = query[:, :, at : at + QUERIES]
        first, last = offset + at, offset + at + part.shape[2]
        low = 0 if window is None else max(0, first - window + 1)
        mask = _mask(first, last, low, window, query.device)
        keys, values = key[:, :, low:last], value[:, :, low:last]
        if softcap is None and sinks is None:
            found.append(
                scaled_dot_product_attention(
                    part, keys, values, attn_mask=mask, scale=scale, enable_gqa=True
                )
            )
        else:
            found.append(_written_out(part, keys, values, mask, scale, softcap, sinks))
    return torch.cat(found, dim=2)


def _mask(first: int, last: int, low: int, window: int | None, device: torch.device) -> Tensor:
    """True where position `first + i` sees position `low + j`; shape [last - first, last - low]."""
    at = torch.arange(first, last, device=device)[:, None]
    seen = torch.arange(low, last, device=device)[None]
    mask = seen <= at
    return mask if window is None else mask & (seen > at - window)


def _written_out(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    scale: float,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """Attention with a cap on its scores or with sinks, which no fused kernel has on every
    device."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = (query @ key.transpose(2, 3)).float() * scale
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    scores = scores.masked_fill(~mask, -torch.inf)
    if sinks is not None:
        sink = sinks.float().reshape(1, -1, 1, 1).expand(*scores.shape[:3], 1)
        scores = torch.cat([scores, sink], dim=-1)
    weights = scores.softmax(-1)[..., : key.shape[2]]
    return weights.to(value.dtype) @ value


AttentionInterface.register(NAME, packed_attention)


@contextmanager
def attending_by_pack(decoder: PreTrainedModel) -> Iterator[None]:
    """Within, the decoder attends by pack; its own attention is back afterwards."""
    config = decoder.config
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before
