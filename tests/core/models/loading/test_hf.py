"""A generator of a model that is loaded here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rdpt_core.models.loading.hf import HfGenerator
from rdpt_core.models.loading.weights import LoadedModel, load
from rdpt_core.models.spec import ModelSpec, Sampling
from rdpt_core.tables.rows import FinishReason
from tests.core.models import tiny
from tests.core.models.loading.test_decoding import PROBLEMS, qwen

__all__ = ["qwen"]


def test_progress_hears_of_each_new_token(qwen: LoadedModel) -> None:
    heard: list[int] = []
    traces = HfGenerator(qwen, Sampling(max_new_tokens=9), 1).generate(
        PROBLEMS, 0, lambda num_done, num_items=0: heard.append(num_done)
    )
    assert sum(heard) == sum(trace.num_tokens or 0 for trace in traces)


def test_bfloat16_repeats_too(models: Path) -> None:
    loaded = load(ModelSpec(path="qwen", dtype="bfloat16"), models, threads=1)
    generator = HfGenerator(loaded, Sampling(max_new_tokens=8), 2)
    first, again = (generator.generate(PROBLEMS, 0) for _ in range(2))
    assert [trace.trace_id for trace in first] == [trace.trace_id for trace in again]


def test_a_stop_is_recorded_and_not_part_of_the_text(qwen: LoadedModel) -> None:
    everything = frozenset(range(qwen.renderer.vocabulary.size))
    ending = replace(qwen, ends=everything)
    trace = HfGenerator(ending, Sampling(max_new_tokens=9), 1).generate(PROBLEMS[:1], 0)[0]
    assert (trace.text, trace.num_tokens) == ("", 1)
    assert trace.finish_reason is FinishReason.STOP
    assert trace.zones == ()


def test_a_prompt_without_room_gives_an_empty_text(models: Path) -> None:
    short = load(ModelSpec(path="qwen", context=40), models, threads=1)
    long = tiny.problem("Ann has 12 apples. " * 20)
    traces = HfGenerator(short, Sampling(max_new_tokens=99), 1).generate([PROBLEMS[0], long], 0)
    room = 40 - len(short.renderer.prompt_ids(PROBLEMS[0]))
    assert [trace.num_tokens for trace in traces] == [room, 0]
    assert {trace.finish_reason for trace in traces} == {FinishReason.LENGTH}
