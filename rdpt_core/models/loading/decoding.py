"""Sampling a batch: our own loop over a model's forward.

The one thing that it promises beyond `generate`: each sample's randomness is its own. A row draws
one uniform number per token from a generator of its own seed and takes the token at that quantile,
so a batch that is sampled again gives the same texts. Finished rows leave the batch.

Shapes: B rows of the batch, L prompt length, V ids of the tokenizer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rdpt_core.machine.progress import ProgressCallback, silent
from rdpt_core.models.loading.cache import growing_cache, keep_rows
from rdpt_core.models.loading.head import Head
from rdpt_core.models.loading.products import quick_products
from rdpt_core.models.spec import Sampling

SHRINK = 0.8
"""A batch is cut down when fewer than this share of its rows still run; each cut copies the
cache, each finished row that stays costs a row of every later step."""


@dataclass(slots=True)
class Sample:
    """One row as it grows: ids with the end of turn, log-probabilities in nats."""

    budget: int
    """Most tokens it may have."""
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    sampled_logprobs: list[float] = field(default_factory=list)
    stopped: bool = False

    @property
    def done(self) -> bool:
        return self.stopped or len(self.token_ids) >= self.budget


@torch.inference_mode()
def sample_batch(
    decoder: PreTrainedModel,
    head: Head,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[int],
    budgets: Sequence[int],
    rule: Sampling,
    ends: Collection[int],
    progress: ProgressCallback = silent,
) -> list[Sample]:
    """One sample per prompt, in order. `budgets` bounds the tokens of each row."""
    samples = [Sample(budget=budget) for budget in budgets]
    rows = [index for index, sample in enumerate(samples) if not sample.done]
    if not rows:
        return samples
    num_alive = len(rows)
    device = next(decoder.parameters()).device
    uniforms_BT = _uniforms([seeds[row] for row in rows], [budgets[row] for row in rows])
    ids_BL, mask_BL = _left_pad([prompts[row] for row in rows], device)
    positions_BL = (mask_BL.cumsum(1) - 1).clamp_min(0)
    cache = growing_cache(decoder.config)
    whole = head.stretch(0, head.num_ids)  # its weights in float32 once, not at every step
    step = 0
    while True:
        with quick_products(head.weight_VD, ids_BL.numel()):
            hidden_BLD = decoder(
                input_ids=ids_BL,
                attention_mask=mask_BL,
                position_ids=positions_BL,
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state
        chosen_B = _extend(
            [samples[row] for row in rows],
            whole.logits(hidden_BLD[:, -1]),
            uniforms_BT[:, step],
            rule,
            ends,
        )
        step += 1
        alive = [index for index, row in enumerate(rows) if not samples[row].done]
        progress(num_alive, num_alive - len(alive))
        num_alive = len(alive)
        if not alive:
            return samples
        ids_BL, positions_BL = chosen_B[:, None], positions_BL[:, -1:] + 1
        mask_BL = torch.cat([mask_BL, mask_BL.new_ones(len(rows), 1)], dim=1)
        if len(alive) < SHRINK * len(rows):
            kept = torch.tensor(alive, device=device)
            keep_rows(cache, kept)
            ids_BL, positions_BL, mask_BL = ids_BL[kept], positions_BL[kept], mask_BL[kept]
            uniforms_BT = uniforms_BT[kept.cpu()]
            rows = [rows[index] for index in alive]


def _extend(
    samples: Sequence[Sample],
    logits_BV: Tensor,
    uniforms_B: Tensor,
    rule: Sampling,
    ends: Collection[int],
) -> Tensor:
    """Chooses the next token of each row and writes it down; returns the ids, shape [B].

    A row that is done stays in the batch until the next cut, but takes no more tokens.
    """
    logprobs_BV = logits_BV.log_softmax(-1)
    chosen_B, processed_B = _choose(logits_BV, logprobs_BV, uniforms_B, rule)
    raw = logprobs_BV.gather(1, chosen_B[:, None])[:, 0].tolist()
    processed = None if processed_B is None else processed_B.tolist()
    for index, (sample, token_id) in enumerate(zip(samples, chosen_B.tolist(), strict=True)):
        if sample.done:
            continue
        sample.token_ids.append(token_id)
        sample.logprobs.append(raw[index])
        if processed is not None:
            sample.sampled_logprobs.append(processed[index])
        sample.stopped = token_id in ends
    return chosen_B


def _choose(
    logits_BV: Tensor, logprobs_BV: Tensor, uniforms_B: Tensor, rule: Sampling
) -> tuple[Tensor, Tensor | None]:
    """Ids and, where the distribution was changed, their log-probabilities in the changed one."""
    if rule.temperature == 0.0:
        chosen_B = logits_BV.argmax(-1)
        return chosen_B, torch.zeros_like(uniforms_B, device=logits_BV.device)
    if is_raw(rule):
        return _at_quantile(logprobs_BV.exp(), uniforms_B), None
    p_BV = (logits_BV / rule.temperature).softmax(-1)
    sorted_BV, order_BV = p_BV.sort(stable=True, dim=-1, descending=True)
    # An id is kept while those before it hold less than top_p, so the first always is.
    before_BV = sorted_BV.double().cumsum(-1) - sorted_BV
    sorted_BV = sorted_BV.masked_fill(before_BV >= rule.top_p, 0.0)
    places_B = _at_quantile(sorted_BV, uniforms_B)
    chosen_B = order_BV.gather(1, places_B[:, None])[:, 0]
    kept_B = sorted_BV.gather(1, places_B[:, None])[:, 0] / sorted_BV.sum(-1)
    return chosen_B, kept_B.log()


def is_raw(rule: Sampling) -> bool:
    """True if tokens are drawn from the model's own distribution."""
    return rule.temperature == 1.0 and rule.top_p == 1.0


def _at_quantile(p_BV: Tensor, uniforms_B: Tensor) -> Tensor:
    """The first id at which the cumulated probability exceeds the row's uniform number."""
    # float64: at 152k ids a float32 sum is off by more than the tail's tokens weigh.
    cumulated_BV = p_BV.double().cumsum(-1)
    wanted_B1 = uniforms_B.to(p_BV.device)[:, None] * cumulated_BV[:, -1:]
    places_B = torch.searchsorted(cumulated_BV, wanted_B1, right=True)[:, 0]
    return places_B.clamp_max(p_BV.shape[-1] - 1)


def _uniforms(seeds: Sequence[int], budgets: Sequence[int]) -> Tensor:
    """Uniform numbers in [0, 1), one row per seed, drawn on the CPU: equal on every device."""
    longest = max(budgets)
    drawn = [
        torch.rand(longest, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        for seed in seeds
    ]
    return torch.stack(drawn)


def _left_pad(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids and mask, shape [B, L], the prompts at the right edge; what pads is never attended to."""
    longest = max(len(prompt) for prompt in prompts)
    ids_BL = torch.zeros(len(prompts), longest, dtype=torch.long)
    mask_BL = torch.zeros_like(ids_BL)
    for row, prompt in enumerate(prompts):
        ids_BL[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask_BL[row, longest - len(prompt) :] = 1
    return ids_BL.to(device), mask_BL.to(device)
