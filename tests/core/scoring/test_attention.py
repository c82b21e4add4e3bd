"""Attention over a pack."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedModel

from rdpt_core.scoring import attention
from tests.core.scoring.test_forward import LENGTHS, forward, found, laid, model

__all__ = ["model"]


def test_a_sink_is_not_rounded_more_than_the_rest() -> None:
    """Where the scale is no power of two, a sink over the scale is no bfloat16 number."""
    torch.manual_seed(0)
    scale, sinks = 80**-0.5, torch.tensor([8.7, 9.3, 9.9, 10.6]).bfloat16()
    some = [
        torch.randn(1, heads, 30, 80).bfloat16() * size
        for heads, size in ((4, 3.0), (2, 3.0), (2, 1.0))
    ]
    found = attention.attend(*some, torch.tensor([0, 30]), scale, None, None, sinks)
    query, key, value = (one.double().repeat_interleave(4 // one.shape[1], 1) for one in some)
    scores = (query @ key.mT * scale).masked_fill(~torch.ones(30, 30).tril().bool(), -torch.inf)
    beside = torch.cat([scores, sinks.double().reshape(1, 4, 1, 1).expand(1, 4, 30, 1)], -1)
    wanted = beside.softmax(-1)[..., :-1] @ value
    np.testing.assert_allclose(found.double(), wanted, atol=0.011)


def test_the_models_own_attention_is_back_afterwards(model: PreTrainedModel) -> None:
    ids = torch.tensor([laid()[1].ids])
    before = model(ids).logits
    found(model, 100)
    assert torch.equal(model(ids).logits, before)


def test_no_attention_keeps_a_matrix_of_all_scores(model: PreTrainedModel) -> None:
    """torch falls back to one without a word; here it may not."""
    if getattr(model.config, "attn_logit_softcapping", None):
        pytest.skip("no kernel caps scores: they are written out, some queries at a time")
    readers = forward(model, 20), forward(model, 20, chunked=True)
    assert all(one.can_pack for one in readers)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        for one in readers:
            assert len(list(one.run(laid()))) == len(LENGTHS)
