"""The forward pass of scoring: token sequences in, statistics of their targets out.

Sequences are laid into packs of a bounded number of tokens; a longer sequence is a pack of its own.
Which sequences share a pack follows from their lengths alone, so a run that is resumed computes the
same numbers.

A sequence that is too much for the memory is read in chunks, over a cache of the keys and values
before. Where all layers attend in full, that cache, which holds every layer at once, is larger than
what one long pass has in memory at a time (perf/memory.py); so chunks are the second choice.

Shapes: N positions of a pack, D hidden width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rdpt_core.machine.memory import is_out_of_memory
from rdpt_core.models.loading.cache import growing_cache
from rdpt_core.models.loading.head import Head
from rdpt_core.models.loading.products import quick_products
from rdpt_core.scoring.attention import attending_by_pack
from rdpt_core.scoring.entries import Statistics
from rdpt_core.scoring.packing import packed
from rdpt_core.scoring.statistics import ExtraStatistics, statistics

PACK_TOKENS = 4096
"""Most tokens of a pack of several sequences."""
SMALLEST_CHUNK = 128
"""Tokens read at a time, below which a trace is too much for this machine."""
SMALLEST_PACK = 1024
"""Tokens of the smallest pack of the compiled path; sizes double from here."""


_TRYING = Lock()
_tried: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()
"""Decoders that can pack or not. Tried by one thread, and before any other reads with the same
decoder: meanwhile it attends in two ways."""


@dataclass(frozen=True, slots=True)
class TokenSequence:
    """The ids that a model reads, of which those from `start` on are targets; `start` is at least
    1, for nothing predicts the first."""

    ids: Sequence[int]
    start: int


@dataclass(frozen=True, slots=True)
class ScoredSequence:
    """What the pass found for one sequence."""

    index: int
    statistics: Statistics | None
    """None where it alone is more than this machine can hold."""
    split: bool
    """True if its pack was halved for lack of memory."""


@dataclass(frozen=True)
class Forward:
    """A decoder and its head, read without gradients."""

    decoder: PreTrainedModel
    head: Head
    pack_tokens: int
    """Most tokens of a pack of several sequences."""
    asked: ExtraStatistics = field(default_factory=ExtraStatistics)
    compiled: Callable[..., Any] | None = None
    """The decoder through torch.compile, where that path was asked for. It reads packs; a longer
    sequence, which would be a shape of its own, is read by the decoder as it stands."""
    chunked: bool = False
    """If true, a sequence longer than `pack_tokens` is read in chunks of that size even where
    memory suffices."""

    def run(self, sequences: Mapping[int, TokenSequence]) -> Iterator[ScoredSequence]:
        """One result per sequence, pack by pack, the longest first."""
        for pack in self.packs(sequences):
            yield from self.read(sequences, pack)

    def packs(self, sequences: Mapping[int, TokenSequence]) -> list[list[int]]:
        """Which sequences share a pack, by their lengths alone."""
        lengths = {index: len(one.ids) for index, one in sequences.items()}
        return packed(lengths, lengths, self.pack_tokens if self.can_pack else 1)

    @torch.inference_mode()
    def read(
        self, sequences: Mapping[int, TokenSequence], pack: Sequence[int]
    ) -> list[ScoredSequence]:
        """The results of one pack."""
        found, split = self._forward([sequences[index] for index in pack])
        return [ScoredSequence(index, one, split) for index, one in zip(pack, found, strict=True)]

    def _forward(self, pack: Sequence[TokenSequence]) -> tuple[list[Statistics | None], bool]:
        """Statistics per sequence, and whether the pack had to be halved."""
        try:
            return list(self._read(pack)), False
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # Out of the handler the failed pass is no longer referred to, and its memory is free.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(pack) == 1:
            return [self._read_in_less(pack[0])], True
        middle = len(pack) // 2
        return self._forward(pack[:middle])[0] + self._forward(pack[middle:])[0], True

    def _read(self, pack: Sequence[TokenSequence]) -> list[Statistics]:
        if not self.can_pack:
            return [self._read_alone(one) for one in pack]
        if self.chunked and len(pack[0].ids) > self.pack_tokens:
            return [self._read_in_chunks(pack[0], self.pack_tokens)]
        return self._read_pack(pack)

    @cached_property
    def can_pack(self) -> bool:
        """What the architecture declares, and then what it does."""
        with _TRYING:
            if self.decoder not in _tried:
                _tried[self.decoder] = may_pack(self.decoder) and keeps_apart(self.decoder)
            return _tried[self.decoder]

    def _read_in_less(self, one: TokenSequence) -> Statistics | None:
        """A sequence that was too much at once, in ever smaller chunks; None where none is small
        enough."""
        chunk = min(self.pack_tokens, len(one.ids) // 2)
        while self.can_pack and chunk >= SMALLEST_CHUNK:
            try:
                return self._read_in_chunks(one, chunk)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            chunk //= 2
        return None

    def _read_pack(self, pack: Sequence[TokenSequence]) -> list[Statistics]:
        ids_N = self._tensor([token_id for one in pack for token_id in one.ids])
        lengths = [len(one.ids) for one in pack]
        starts_N = torch.tensor([one.start for one in pack]).repeat_interleave(
            torch.tensor(lengths)
        )
        targets_N = torch.cat([torch.arange(length) for length in lengths]) >= starts_N
        hidden_ND = self.hidden(ids_N, lengths)
        found = self._statistics(hidden_ND[targets_N.roll(-1)], ids_N[targets_N])
        return found.cut([len(one.ids) - one.start for one in pack])

    def hidden(self, ids_N: Tensor, lengths: Sequence[int]) -> Tensor:
        """Hidden states of sequences of these lengths, laid end to end, shape [N, D]."""
        size, edges = len(ids_N), torch.tensor([0, *accumulate(lengths)])
        positions_N = torch.cat([torch.arange(length) for length in lengths]).to(ids_N.device)
        read: Callable[..., Any] = self.decoder
        if self.compiled is not None and size <= self.pack_tokens:
            read = self.compiled
            ids_N, positions_N, edges = filled(ids_N, positions_N, edges, self.pack_tokens)
        with attending_by_pack(self.decoder):
            hidden_ND = self._decoded(
                read, ids_N, position_ids=positions_N[None], use_cache=False, edges=edges
            )
        return hidden_ND[:size]

    def _read_in_chunks(self, one: TokenSequence, chunk: int) -> Statistics:
        cache, found = growing_cache(self.decoder.config), []
        ids_N = self._tensor(one.ids)
        for at in range(0, len(one.ids) - 1, chunk):
            stop = min(at + chunk, len(one.ids) - 1)  # the last id predicts nothing
            with attending_by_pack(self.decoder):
                hidden_ND = self._decoded(
                    self.decoder,
                    ids_N[at:stop],
                    position_ids=torch.arange(at, stop, device=ids_N.device)[None],
                    past_key_values=cache,
                    use_cache=True,
                    edges=torch.tensor([0, stop - at]),
                )
            first = max(at, one.start - 1)
            targets_N = ids_N[first + 1 : stop + 1]
            found.append(self._statistics(hidden_ND[first - at :], targets_N))
        return Statistics.joined(found)

    def _read_alone(self, one: TokenSequence) -> Statistics:
        """Under the model's own attention: it is of a kind that cannot be packed."""
        ids_N = self._tensor(one.ids)
        hidden_ND = self._decoded(self.decoder, ids_N, use_cache=False)
        return self._statistics(hidden_ND[one.start - 1 : -1], ids_N[one.start :])

    def _decoded(self, read: Callable[..., Any], ids_N: Tensor, **asked: Any) -> Tensor:
        with quick_products(self.head.weight_VD, len(ids_N)):
            hidden_ND: Tensor = read(input_ids=ids_N[None], **asked)[0][0]
        return hidden_ND

    def _statistics(self, hidden_ND: Tensor, targets_N: Tensor) -> Statistics:
        return statistics(hidden_ND, targets_N, self.head, self.asked)

    def _tensor(self, ids: Sequence[int]) -> Tensor:
        return torch.tensor(ids, dtype=torch.long, device=self.head.weight_VD.device)


def may_pack(decoder: PreTrainedModel) -> bool:
    """Whether, by what it declares, this architecture takes an attention function from outside, has
    no layer of another kind, and turns each position by its own number alone, not by the length of
    the input too."""
    config = decoder.config
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    rope = getattr(config, "rope_parameters", None) or {}
    scaled = {
        str(rope.get("rope_type")),
        *(str(one.get("rope_type")) for one in rope.values() if isinstance(one, dict)),
    }
    return (
        bool(getattr(decoder, "_supports_attention_backend", False))
        and kinds <= {"full_attention", "sliding_attention"}
        and not scaled & {"dynamic", "longrope"}
    )


@torch.inference_mode()
def keeps_apart(decoder: PreTrainedModel, length: int = 8) -> bool:
    """True if a sequence scores the same behind another one of its pack as alone.

    Some architectures declare that they take an attention function, and then hand it no edges, or
    a mask of their own.
    """
    device = next(decoder.parameters()).device
    ids = torch.arange(2 * length, device=device) % decoder.config.get_text_config().vocab_size
    positions = torch.arange(length, device=device).repeat(2)
    edges = torch.tensor([0, length, 2 * length])
    try:
        with attending_by_pack(decoder):
            behind = decoder(
                input_ids=ids[None], position_ids=positions[None], use_cache=False, edges=edges
            )[0][0, length:]
    except Exception:  # whatever it is that does not fit: it is read alone then
        return False
    alone = decoder(input_ids=ids[None, length:], use_cache=False)[0][0]
    loose = 1e-3 if alone.dtype == torch.float32 else 0.05
    return bool((behind - alone).norm() <= loose * alone.norm())


def filled(
    ids_N: Tensor, positions_N: Tensor, edges: Tensor, most: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The pack, filled up to the next size with a sequence that nobody reads: so the compiler meets
    a handful of shapes however many traces there are."""
    size = bucket(len(ids_N), most)
    more = size - len(ids_N)
    if more:
        ids_N = torch.cat([ids_N, ids_N.new_zeros(more)])
        positions_N = torch.cat([positions_N, torch.arange(more, device=positions_N.device)])
        edges = torch.cat([edges, edges.new_tensor([size])])
    torch._dynamo.maybe_mark_dynamic(edges, 0)
    return ids_N, positions_N, edges


def bucket(num_tokens: int, most: int) -> int:
    """The smallest size that holds this many tokens; never above `most`, unless they are."""
    size = SMALLEST_PACK
    while size < num_tokens:
        size *= 2
    return max(num_tokens, min(size, most))
