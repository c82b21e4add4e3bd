"""Keys and values of what a model has read, in buffers that grow."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin


class GrowingLayer(DynamicLayer):
    """Keys and values in a buffer that grows by half: appending a token copies no others."""

    buffers: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        stop = start + key_states.shape[-2]
        if self.buffers is None or self.buffers[0].shape[-2] < stop:
            room = max(64, stop + stop // 2)
            self.buffers = (self._grown(key_states, room), self._grown(value_states, room))
            if start and self.keys is not None and self.values is not None:
                self.buffers[0][..., :start, :] = self.keys
                self.buffers[1][..., :start, :] = self.values
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[..., start:stop, :] = states
        self.keys, self.values = (buffer[..., :stop, :] for buffer in self.buffers)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        if self.buffers is not None:
            stop = self.get_seq_length()
            self.buffers = (self.buffers[0][indices], self.buffers[1][indices])
            self.keys, self.values = (buffer[..., :stop, :] for buffer in self.buffers)

    @staticmethod
    def _grown(states: Tensor, room: int) -> Tensor:
        *front, _, width = states.shape
        return states.new_empty(*front, room, width)


def keep_rows(cache: DynamicCache, rows: Tensor) -> None:
    """Leaves these rows of the batch, in every kind of layer: those with a recurrent state, or a
    convolution's, know another word for it, and hybrid ones inherit one that forgets the state."""
    for layer in cache.layers:
        kept: Any = layer  # the base class of layers declares neither
        if isinstance(layer, LinearAttentionCacheLayerMixin):
            kept.reorder_cache(rows)
        else:
            kept.batch_select_indices(rows)


def growing_cache(config: Any) -> DynamicCache:
    """The model's own cache, its plain layers replaced by growing ones."""
    cache = DynamicCache(config=config)
    cache.layers = [
        GrowingLayer() if type(layer) is DynamicLayer else layer  # type: ignore[no-untyped-call]
        for layer in cache.layers
    ]
    return cache
