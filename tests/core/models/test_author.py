"""Texts are signed by what moves them: the model, the sampling and the seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from rdpt_core.models.author import Author
from rdpt_core.models.identity import ModelIdentity, identify
from rdpt_core.models.rendering.render import Renderer, read_renderer
from rdpt_core.models.spec import ModelSpec, Sampling
from rdpt_core.tables.rows import FinishReason, Trace
from tests.core.models import tiny

SPEC = ModelSpec(path="qwen")


@pytest.fixture(scope="module")
def identity(models: Path) -> ModelIdentity:
    return identify(SPEC, models)


@pytest.fixture(scope="module")
def renderer(models: Path) -> Renderer:
    return read_renderer(SPEC, models / "qwen")


def signed(author: Author, index: int = 0, text: str = "<think>\nIt is 2.\n</think>\n\n2") -> Trace:
    return author.trace(
        tiny.problem(),
        index,
        text,
        stopped=True,
        seed=9,
        num_tokens=None,
        token_ids=None,
        logprobs=None,
        sampled_logprobs=None,
    )


def test_a_trace_is_named_by_all_that_moves_it(identity: ModelIdentity, renderer: Renderer) -> None:
    author = Author(identity, renderer, Sampling(), 0)
    brief = identity.model_copy(update={"system": "Be brief."})
    traces = [
        signed(author),
        signed(author, index=1),
        signed(author, text="2"),
        signed(Author(identity, renderer, Sampling(temperature=0.5), 0)),
        signed(Author(identity, renderer, Sampling(), 1)),
        signed(Author(brief, renderer, Sampling(), 0)),
    ]
    assert len({trace.trace_id for trace in traces}) == len(traces)
    assert signed(Author(identity, renderer, Sampling(), 0)) == traces[0]


def test_how_it_is_scored_is_no_part_of_the_signature(
    identity: ModelIdentity, renderer: Renderer
) -> None:
    compiled = identity.model_copy(update={"numerics": "compiled"})
    one, other = (signed(Author(known, renderer, Sampling(), 0)) for known in (identity, compiled))
    assert one == other
    assert one.author == identity.author


def test_zones_are_those_of_the_model_and_an_ending_is_kept(
    identity: ModelIdentity, renderer: Renderer
) -> None:
    trace = signed(Author(identity, renderer, Sampling(), 0))
    assert [zone.kind.value for zone in trace.zones] == ["tag", "thought", "tag", "answer"]
    assert trace.finish_reason is FinishReason.STOP
