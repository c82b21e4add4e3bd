"""Teacher-forced scores against a reference that is slow and obvious, and the traps around them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from rdpt_core.models.loading.head import Stretch
from rdpt_core.models.loading.weights import LoadedModel, load
from rdpt_core.models.rendering.layout import Layout
from rdpt_core.models.spec import ModelSpec, Numerics
from rdpt_core.scoring import forward
from rdpt_core.scoring.entries import Statistics
from rdpt_core.scoring.forward import Forward, TokenSequence
from rdpt_core.scoring.hf import HfScorer
from rdpt_core.scoring.statistics import statistics
from rdpt_core.tables.rows import FinishReason, ScoreStatus, TokenScores, Trace
from tests.core.models import tiny

NAMES = ["qwen", "llama"]
TEXTS = [
    tiny.THINKING,
    "<think>\nTom reads 7 pages a day, naïve café – 數學 🙂.\n</think>\n\n**42**",
    "The answer is 42.",
    "<think>\nFirst I add 12 and 30, and then nothing ends",
    "It wrote <|im_end|> and <|end|>. \n\n 42",
]

_loaded: dict[tuple[str, Numerics], LoadedModel] = {}


def model(models: Path, name: str, numerics: Numerics = "exact") -> LoadedModel:
    key = (name, numerics)
    if key not in _loaded:
        _loaded[key] = load(ModelSpec(path=name), models, threads=1, numerics=numerics)
    return _loaded[key]


def score(
    loaded: LoadedModel,
    traces: Sequence[Trace],
    pack_tokens: int = 4096,
    topk_stats: int | None = None,
) -> list[TokenScores]:
    return list(HfScorer(loaded, pack_tokens, topk_stats).score([tiny.problem()], traces))


def traces(finish: FinishReason = FinishReason.STOP) -> list[Trace]:
    return [tiny.trace(text, tiny.problem(), finish) for text in TEXTS]


@torch.inference_mode()
def brute_force(loaded: LoadedModel, ids: list[int], start: int) -> torch.Tensor:
    """Float64 log-probabilities of every id of the tokenizer at each place from `start` on, by one
    forward per token over what stands before it; shape [places, ids]."""
    model = loaded.model.double()
    rows = []
    for place in range(start, len(ids)):
        logits = model(input_ids=torch.tensor([ids[:place]]), use_cache=False).logits[0, -1]
        rows.append(logits[: loaded.renderer.vocabulary.size].log_softmax(-1))
    loaded.model.float()
    return torch.stack(rows)


def reference(loaded: LoadedModel, text: str) -> tuple[Trace, Layout, torch.Tensor]:
    """A finished text as it is laid, and by brute force every id's log-probability at each of its
    completion ids."""
    trace = tiny.trace(text, tiny.problem(), FinishReason.STOP)
    layout = loaded.renderer.lay(tiny.problem(), trace)
    return trace, layout, brute_force(loaded, layout.input_ids, len(layout.prompt_ids))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", TEXTS)
def test_t11_every_number_equals_the_brute_force_one(models: Path, name: str, text: str) -> None:
    loaded = model(models, name)
    trace, layout, wanted_NV = reference(loaded, text)
    targets = torch.tensor(layout.completion_ids)
    logprobs = wanted_NV.gather(1, targets[:, None])[:, 0].numpy()
    p_NV = wanted_NV.exp()
    row = score(loaded, [trace])[0]

    at = 0
    seen: list[int] = []
    for piece in layout.pieces:
        if piece.kind.value != "tag":
            seen += range(at, at + len(piece.token_ids))
        at += len(piece.token_ids)
    told = ~np.isnan(row.logprobs)
    np.testing.assert_allclose(row.logprobs[told], logprobs[seen], atol=1e-4)
    ranks = ((wanted_NV > wanted_NV.gather(1, targets[:, None])).sum(1) + 1).numpy()
    np.testing.assert_array_equal(row.ranks[told], ranks[seen])
    entropies = -(p_NV * wanted_NV).sum(1).numpy()
    np.testing.assert_allclose(row.entropies[told], entropies[seen], rtol=1e-3)
    np.testing.assert_allclose(row.sum_squares[told], p_NV.square().sum(1)[seen], rtol=2e-3)
    assert row.end_logprob == pytest.approx(logprobs[-1], abs=1e-4)
    total = np.nansum(row.logprobs) + (row.tag_logprob or 0.0) + (row.end_logprob or 0.0)
    assert total == pytest.approx(logprobs.sum(), abs=1e-2)


@pytest.mark.parametrize("name", NAMES)
def test_t21_t31_a_pack_moves_no_number(models: Path, name: str) -> None:
    alone = score(model(models, name), traces(), pack_tokens=1)
    for packed in (
        score(model(models, name), traces(), pack_tokens=10_000),
        score(model(models, name), traces()[::-1], pack_tokens=200)[::-1],
    ):
        for one, other in zip(alone, packed, strict=True):
            np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-5)
            np.testing.assert_array_equal(one.token_bytes, other.token_bytes)


def test_t18_ids_that_the_tokenizer_lacks_are_no_part_of_the_softmax(models: Path) -> None:
    loaded = load(ModelSpec(path="qwen"), models, threads=1)
    trace = tiny.trace(TEXTS[2], tiny.problem())
    before = score(loaded, [trace])[0]
    size = loaded.renderer.vocabulary.size
    weight = loaded.model.get_output_embeddings().weight
    assert len(weight) > size, "the fixture must be padded"
    with torch.inference_mode():
        weight[size:] += 100.0
    np.testing.assert_array_equal(score(loaded, [trace])[0].logprobs, before.logprobs)


@pytest.mark.fault("F32")
def test_t30_never_more_logits_than_a_block_of_a_stretch(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = model(models, "qwen")
    wanted = score(loaded, traces())
    shapes: list[tuple[int, ...]] = []
    logits = Stretch.logits

    def watched(self: Stretch, hidden_ND: torch.Tensor) -> torch.Tensor:
        found = logits(self, hidden_ND)
        shapes.append(tuple(found.shape))
        return found

    monkeypatch.setattr(Stretch, "logits", watched)
    monkeypatch.setattr(forward, "statistics", partial(statistics, block=7, stretch=50))
    found = score(loaded, traces())
    assert max(rows for rows, _ in shapes) == 7
    assert max(ids for _, ids in shapes) == 50
    for one, other in zip(wanted, found, strict=True):
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-5)
        np.testing.assert_array_equal(one.ranks, other.ranks)


@pytest.mark.fault("F32")
@pytest.mark.parametrize("spare", [-1, 0, 1])
def test_t28_t29_a_cut_at_the_limit_is_said(models: Path, spare: int) -> None:
    trace = tiny.trace(TEXTS[0], tiny.problem(), FinishReason.STOP)
    full = model(models, "qwen")
    layout = full.renderer.lay(tiny.problem(), trace)
    limit = len(layout.input_ids) - len(layout.end_ids) + spare
    row = score(replace(full, limit=limit), [trace])[0]
    whole = score(full, [trace])[0]
    num = len(whole.logprobs) + min(spare, 0)
    assert row.status is (ScoreStatus.OK if spare == len(layout.end_ids) else ScoreStatus.PARTIAL)
    assert row.scored_stop == whole.token_bytes[:num].sum()
    assert len(row.token_bytes) == len(row.ranks) == num
    np.testing.assert_allclose(row.logprobs, whole.logprobs[:num], atol=1e-5)
    assert (row.end_logprob is None) == (row.status is ScoreStatus.PARTIAL)
    assert row.verbatim


@pytest.mark.fault("F24")
def test_f24_a_trace_with_a_number_that_is_none_is_an_error_row(models: Path) -> None:
    """One token without a number would pass for a tag's, and its sentence for a shorter one."""
    sound = model(models, "qwen")
    rows = sound.head.weight_VD.clone()
    rows[sound.renderer.vocabulary.encode("*")[0]] = math.nan
    broken = replace(sound, head=replace(sound.head, weight_VD=rows))
    (row,) = score(broken, [tiny.trace("12 * 30", tiny.problem())])
    assert row.status is ScoreStatus.ERROR
    assert len(row.logprobs) == row.scored_stop == 0


@pytest.mark.fault("F32")
@pytest.mark.parametrize("room", [-3, 0])
def test_t29_where_no_text_fits_nothing_is_scored(models: Path, room: int) -> None:
    trace = tiny.trace(TEXTS[0], tiny.problem(), FinishReason.STOP)
    full = model(models, "qwen")
    prompt = len(full.renderer.prompt_ids(tiny.problem()))
    row = score(replace(full, limit=prompt + room), [trace])[0]
    assert (row.status, row.scored_stop) == (ScoreStatus.TOO_LONG, 0)
    assert len(row.token_bytes) == len(row.logprobs) == len(row.ranks) == 0
    assert row.end_logprob is None
    assert not row.verbatim


def test_a_trace_that_cannot_be_laid_is_an_error_row_and_the_others_are_scored(
    models: Path, tmp_path: Path
) -> None:
    tiny.write_folder(
        tmp_path / "bare",
        tokenizer := tiny.byte_level(["<|im_start|>", "<|im_end|>"]),
        tiny.qwen(tiny.size_of(tokenizer)),
        tiny.PLAIN,
        {"eos_token": "<|im_end|>"},
    )
    bare = load(ModelSpec(path="bare"), tmp_path, threads=1)
    rows = score(bare, [*traces(), tiny.trace("lost", tiny.problem("another"))])
    assert [row.status.value for row in rows] == ["error", "error", "ok", "error", "ok", "error"]


def test_t17_the_author_is_scored_on_the_ids_that_it_sampled(models: Path) -> None:
    loaded = model(models, "qwen")
    vocabulary = loaded.renderer.vocabulary
    letters = [vocabulary.encode(letter)[0] for letter in "So 42."]
    end = loaded.renderer.contract.end
    assert end is not None
    imported = tiny.trace("So 42.", tiny.problem(), FinishReason.STOP)
    own = replace(
        imported, author=loaded.identity.digest, token_ids=np.array([*letters, end], np.int32)
    )
    theirs, mine = score(loaded, [imported, own])
    assert (theirs.retokenized, mine.retokenized) == (True, False)
    assert mine.token_bytes.tolist() == [1] * 6
    prompt = loaded.renderer.prompt_ids(tiny.problem())
    wanted = brute_force(loaded, [*prompt, *letters, end], len(prompt))
    picked = wanted.gather(1, torch.tensor([*letters, end])[:, None])[:, 0].numpy()
    np.testing.assert_allclose(mine.logprobs, picked[:-1], atol=1e-4)
    assert mine.end_logprob == pytest.approx(picked[-1], abs=1e-4)


@pytest.mark.fault("F25")
def test_out_of_memory_halves_the_pack_and_goes_on(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = model(models, "qwen")
    wanted = score(loaded, traces(), pack_tokens=10_000)
    read = Forward._read

    def small_machine(self: Forward, pack: Sequence[TokenSequence]) -> list[Statistics]:
        if len(pack) > 1:
            raise torch.OutOfMemoryError("too much")
        return read(self, pack)

    monkeypatch.setattr(Forward, "_read", small_machine)
    found = score(loaded, traces(), pack_tokens=10_000)
    assert all(row.split for row in found)
    assert not any(row.split for row in wanted)
    for one, other in zip(wanted, found, strict=True):
        np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-5)


@pytest.mark.fault("F25")
def test_after_a_pack_that_was_halved_the_next_has_its_planned_size(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, read = model(models, "qwen"), Forward._read
    sizes: list[int] = []

    def once_short(self: Forward, pack: Sequence[TokenSequence]) -> list[Statistics]:
        sizes.append(len(pack))
        if len(sizes) == 1:
            raise torch.OutOfMemoryError("too much")
        return read(self, pack)

    monkeypatch.setattr(Forward, "_read", once_short)
    some = [tiny.trace(f"It is {number}.", tiny.problem()) for number in range(12)]
    laid = loaded.renderer.lay(tiny.problem(), some[0])
    rows = score(loaded, some, pack_tokens=4 * len(laid.input_ids) + 3)
    first, *halves = sizes
    assert first == halves[0] + halves[1] > 1
    assert max(halves[2:]) == first
    assert sum(row.split for row in rows) == first


@pytest.mark.fault("F25")
def test_a_trace_that_alone_exceeds_memory_is_an_error_row(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tiny_machine(self: Forward, pack: Sequence[TokenSequence]) -> list[Statistics]:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")

    monkeypatch.setattr(Forward, "_read", tiny_machine)
    rows = score(model(models, "qwen"), traces())
    assert {row.status for row in rows} == {ScoreStatus.ERROR}


def test_top_statistics_are_asked_for(models: Path) -> None:
    trace = tiny.trace(TEXTS[2], tiny.problem())
    plain, asked = (score(model(models, "qwen"), [trace], topk_stats=k)[0] for k in (None, 50))
    assert plain.top50_mass is None
    assert plain.topk is None
    assert asked.top50_mass is not None
    assert asked.top50_squares is not None
    assert (asked.top50_mass <= 1).all()
    assert (asked.top50_squares <= asked.sum_squares).all()


def test_progress_hears_of_each_scored_token(models: Path) -> None:
    heard: list[tuple[int, int]] = []
    loaded = model(models, "qwen")

    def progress(num_done: int, num_items: int = 0) -> None:
        heard.append((num_done, num_items))

    list(HfScorer(loaded).score([tiny.problem()], traces(), progress))
    laid = [loaded.renderer.lay(tiny.problem(), trace) for trace in traces()]
    assert sum(tokens for tokens, _ in heard) == sum(len(row.completion_ids) for row in laid)
    assert sum(items for _, items in heard) == len(laid)
