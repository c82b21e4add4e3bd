"""What may move a score, and what may not: precision, company in a pack, authorship.

Traps are named as in docs/scoring.md.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rdpt_core.models.loading.head import Head
from rdpt_core.models.loading.weights import LoadedModel, load
from rdpt_core.models.spec import ModelSpec
from rdpt_core.scoring.hf import HfScorer
from rdpt_core.scoring.statistics import statistics
from rdpt_core.tables.rows import FinishReason, TokenScores, Trace
from tests.core.models import tiny

OTHERS = 44
"""Traces in company of which a batch-invariant engine moved (vllm-project/vllm#51187)."""


@pytest.fixture(scope="module")
def loaded(models: Path) -> LoadedModel:
    return load(ModelSpec(path="qwen"), models, threads=1)


def score(
    loaded: LoadedModel, traces: Sequence[Trace], pack_tokens: int = 4096
) -> list[TokenScores]:
    return list(HfScorer(loaded, pack_tokens).score([tiny.problem()], traces))


def test_t20_logits_and_softmax_of_bfloat16_weights_are_float32() -> None:
    torch.manual_seed(3)
    hidden = torch.randn(40, 64).to(torch.bfloat16)
    weight = (torch.randn(3000, 64) / 3).to(torch.bfloat16)
    targets = torch.randint(0, 3000, (40,))

    def picked(logprobs: torch.Tensor) -> torch.Tensor:
        return logprobs.gather(1, targets[:, None])[:, 0].double()

    wanted = picked((hidden.double() @ weight.double().T).log_softmax(-1))
    found = torch.from_numpy(statistics(hidden, targets, Head(weight)).logprobs)
    assert (found - wanted).abs().max() < 1e-4
    rounded = picked((hidden @ weight.T).log_softmax(-1))
    assert (rounded - wanted).abs().max() > 1e-2, "the fixture must show what rounding does"


def test_t22_a_trace_in_much_company_has_the_numbers_that_it_has_alone(loaded: LoadedModel) -> None:
    one = tiny.trace(tiny.THINKING, tiny.problem(), FinishReason.STOP)
    others = [tiny.trace(f"It is {number}.", tiny.problem()) for number in range(OTHERS)]
    (alone,) = score(loaded, [one])
    for company in ([one, *others], [*others, one]):
        found = score(loaded, company, pack_tokens=100_000)
        (row,) = (row for row in found if row.trace_id == one.trace_id)
        np.testing.assert_allclose(row.logprobs, alone.logprobs, atol=1e-5)
        np.testing.assert_array_equal(row.ranks, alone.ranks)


def test_t36_a_text_has_the_same_scores_whoever_wrote_it(loaded: LoadedModel) -> None:
    """So the control of a provenance can be run: traces of teacher and student under one cast."""
    imported = tiny.trace(tiny.THINKING, tiny.problem(), FinishReason.STOP)
    vocabulary, end = loaded.renderer.vocabulary, loaded.renderer.contract.end
    laid = loaded.renderer.lay(tiny.problem(), imported).completion_ids
    assert laid[-1] == end
    assert vocabulary.join(laid[:-1]) == imported.text.encode()
    own = replace(imported, author=loaded.identity.author, token_ids=np.array(laid, np.int32))
    theirs, mine = score(loaded, [imported, own])
    assert (theirs.retokenized, mine.retokenized) == (True, False)
    np.testing.assert_array_equal(theirs.logprobs, mine.logprobs)
    np.testing.assert_array_equal(theirs.token_bytes, mine.token_bytes)


def test_threads_that_share_a_model_have_the_numbers_of_one_alone(loaded: LoadedModel) -> None:
    """Each takes the decoder's attention for itself and gives it back while others still read."""
    texts = [f"It is {number}, and {number} again." for number in range(12)]
    traces = [tiny.trace(text, tiny.problem()) for text in texts]
    alone = score(loaded, traces, pack_tokens=64)
    barrier = threading.Barrier(3)

    def together(_: int) -> list[TokenScores]:
        barrier.wait()
        return score(loaded, traces, pack_tokens=64)

    before = loaded.decoder.config._attn_implementation
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(together, range(3)):
            for one, other in zip(alone, found, strict=True):
                np.testing.assert_array_equal(one.logprobs, other.logprobs)
    assert loaded.decoder.config._attn_implementation == before
