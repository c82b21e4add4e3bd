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
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

NAME = "rdpt_packed"
QUERIES = 1024
"""Most queries whose mask or scores exist at once, where no kernel does without them."""
WIDEST = 256
"""Head that torch's flash kernels take on a GPU."""


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
    if softcap is not None and s_aux is not None:
        raise ValueError("no known architecture has both sinks and capped scores")
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
            out[:, :, start:stop] = _kernel(one, keys, values, None, scale)
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
        if softcap is not None:
            found.append(_capped(part, keys, values, mask, scale, softcap))
        elif sinks is not None:
            found.append(_kernel(*_with_sinks(part, keys, values, mask, sinks, scale), scale))
        else:
            found.append(_kernel(part, keys, values, mask, scale))
    return torch.cat(found, dim=2)


def _mask(first: int, last: int, low: int, window: int | None, device: torch.device) -> Tensor:
    """True where position `first + i` sees position `low + j`; shape [last - first, last - low]."""
    at = torch.arange(first, last, device=device)[:, None]
    seen = torch.arange(low, last, device=device)[None]
    mask = seen <= at
    return mask if window is None else mask & (seen > at - window)


def _kernel(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """torch's attention, asked so that it need not have a matrix of all scores; causal without a
    mask.

    Its kernels without one want values as wide as keys (DeepSeek's are narrower), and on a GPU as
    many heads of keys as of queries, where there is a mask, float32 or a wide head.
    """
    width = value.shape[-1]
    if width < key.shape[-1]:
        value = pad(value, (0, key.shape[-1] - width))
    flash = mask is None and query.dtype != torch.float32 and key.shape[-1] <= WIDEST
    if query.is_cuda and not flash:
        key, value = _repeated(key, query), _repeated(value, query)
    causal = mask is None
    return scaled_dot_product_attention(
        query, key, value, attn_mask=mask, is_causal=causal, scale=scale, enable_gqa=True
    )[..., :width]


def _with_sinks(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, sinks_H: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """With a sink as one more key, of value zero, that all see.

    It points along two dimensions of its own, in which queries have their head's sink, and what
    rounding took from it, and other keys nothing. Eight are added, for kernels want multiples.
    """
    whole_H = sinks_H.float() / scale
    high_H = whole_H.to(query.dtype)
    own_H2 = torch.stack([high_H, (whole_H - high_H.float()).to(query.dtype)], dim=-1)
    own = own_H2[None, :, None].expand(*query.shape[:3], 2)
    query = pad(torch.cat([query, own], dim=-1), (0, 6))
    key, value = pad(key, (0, 8, 0, 1)), pad(value, (0, 0, 0, 1))
    key[:, :, -1, -8:-6] = 1
    return query, key, value, pad(mask, (0, 1), value=True)


def _capped(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float, softcap: float
) -> Tensor:
    """Attention with a cap on its scores, which no kernel of torch has."""
    scores = (query @ _repeated(key, query).transpose(2, 3)).float() * scale
    scores = torch.tanh(scores / softcap) * softcap
    weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
    return weights.to(value.dtype) @ _repeated(value, query)


def _repeated(states: Tensor, query: Tensor) -> Tensor:
    """Keys or values with one head for each of the queries' heads."""
    return states.repeat_interleave(query.shape[1] // states.shape[1], 1)


AttentionInterface.register(NAME, packed_attention)


_ENTERING = Lock()
_inside: dict[int, tuple[int, str]] = {}
"""Threads in which a decoder attends by pack, and what it does otherwise, by the id of its
configuration."""


@contextmanager
def attending_by_pack(decoder: PreTrainedModel) -> Iterator[None]:
    """Within, the decoder attends by pack; its own attention is back when the last of the threads
    that share it has left."""
    config = decoder.config
    with _ENTERING:
        number, own = _inside.get(id(config), (0, config._attn_implementation))
        _inside[id(config)] = number + 1, own
        config._attn_implementation = NAME
    try:
        yield
    finally:
        with _ENTERING:
            number, own = _inside.pop(id(config))
            if number > 1:
                _inside[id(config)] = number - 1, own
            else:
                config._attn_implementation = own
