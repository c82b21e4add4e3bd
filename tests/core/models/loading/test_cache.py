"""Keys and values in buffers that grow: the same as in transformers' own cache."""

from __future__ import annotations

import torch
from transformers import DynamicCache, Qwen3Config

from rdpt_core.models.loading.cache import GrowingLayer, growing_cache, keep_rows

CONFIG = Qwen3Config(num_hidden_layers=2)


def states(rows: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(rows, 2, length, 4), torch.randn(rows, 2, length, 4)


def test_what_is_appended_is_read_back_whatever_was_cut() -> None:
    torch.manual_seed(0)
    config = CONFIG
    own, grown = DynamicCache(config=config), growing_cache(config)
    assert all(isinstance(layer, GrowingLayer) for layer in grown.layers)
    rows = 5
    for length, kept in ((7, None), (1, [0, 2, 4]), (90, None), (1, [1]), (3, None)):
        keys, values = states(rows, length)
        wanted, found = (cache.update(keys, values, 0) for cache in (own, grown))
        for a, b in zip(wanted, found, strict=True):
            assert torch.equal(a, b)
        if kept is not None:
            own.batch_select_indices(torch.tensor(kept))
            keep_rows(grown, torch.tensor(kept))
            rows = len(kept)
    assert grown.get_seq_length() == own.get_seq_length() == 102


def test_appending_a_token_copies_no_others() -> None:
    grown = growing_cache(CONFIG)
    grown.update(*states(1, 10), 0)
    (layer, *_) = grown.layers
    assert isinstance(layer, GrowingLayer)
    assert layer.buffers is not None
    place = layer.buffers[0].data_ptr()
    for _ in range(50):
        grown.update(*states(1, 1), 0)
    assert layer.buffers[0].data_ptr() == place
