"""Log-probabilities that come with the traces, against those of the model that wrote them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rdpt_core.models.loading.hf import HfGenerator
from rdpt_core.models.loading.weights import LoadedModel, load
from rdpt_core.models.spec import Logged, ModelSpec, Sampling
from rdpt_core.pocket import MODELS
from rdpt_core.scoring.hf import HfScorer
from rdpt_core.scoring.logged import LoggedScorer
from rdpt_core.tables.rows import FinishReason, ScoreSource, ScoreStatus, TokenScores, Trace
from tests.core.models import tiny

PROBLEMS = [tiny.problem(f"Ann has {n} apples and buys 3 more. How many?") for n in range(5, 8)]


@pytest.fixture(scope="module", params=["teacher", "student"])
def loaded(request: pytest.FixtureRequest) -> LoadedModel:
    """The thought's tag is in the prompt of the one, in the trace of the other."""
    return load(ModelSpec(path=request.param), MODELS, threads=1)


def written(loaded: LoadedModel) -> list[Trace]:
    """Sampled texts with their ids and log-probabilities."""
    return HfGenerator(loaded, Sampling(max_new_tokens=120), seed=3).generate(PROBLEMS, 0)


def logged(loaded: LoadedModel, trace: Trace, how: Logged | None = None) -> TokenScores:
    how = how or Logged()
    (row,) = LoggedScorer("teacher", loaded.renderer, how).score([], [trace])
    return row


def test_logged_scores_are_those_of_the_model_that_wrote_the_trace(loaded: LoadedModel) -> None:
    traces = written(loaded)
    for trace, wanted in zip(traces, HfScorer(loaded).score(PROBLEMS, traces), strict=True):
        found = logged(loaded, trace)
        assert (found.status, found.source) == (ScoreStatus.OK, ScoreSource.LOGGED)
        np.testing.assert_array_equal(found.token_bytes, wanted.token_bytes)
        np.testing.assert_allclose(found.logprobs, wanted.logprobs, atol=1e-4)
        for name in ("tag_logprob", "end_logprob"):
            assert getattr(found, name) == pytest.approx(getattr(wanted, name), abs=1e-3), name
        assert not found.retokenized


def test_a_log_is_its_author_s_alone(loaded: LoadedModel) -> None:
    own, other = (
        replace(trace, author=name) for trace, name in zip(written(loaded)[:2], "ab", strict=True)
    )
    scorer = LoggedScorer("teacher", loaded.renderer, Logged(author="a"))
    rows = list(scorer.score([], [own, other]))
    assert [row.status for row in rows] == [ScoreStatus.OK, ScoreStatus.ERROR]
    anybody = LoggedScorer("teacher", loaded.renderer, Logged())
    with pytest.raises(ValueError, match=r"several authors \(a, b\)"):
        list(anybody.score([], [own, other]))


def test_what_a_log_lacks_is_missing(loaded: LoadedModel) -> None:
    row = logged(loaded, written(loaded)[0], Logged(temperature=0.6, topk=20))
    assert (row.temperature, row.topk) == (0.6, 20)
    assert not row.ranks.any()
    assert np.isnan(row.entropies).all()
    assert np.isnan(row.sum_squares).all()


def test_t17_ids_that_are_not_the_text_are_refused(loaded: LoadedModel) -> None:
    trace = written(loaded)[0]
    assert trace.token_ids is not None
    for changed in (
        replace(trace, text=trace.text + "!", zones=loaded.renderer.zones(trace.text + "!")),
        replace(trace, token_ids=trace.token_ids[1:], logprobs=trace.logprobs[1:]),  # type: ignore[index]
        replace(trace, token_ids=None, logprobs=None),
        replace(trace, logprobs=None),
    ):
        row = logged(loaded, changed)
        assert (row.status, row.source, len(row.logprobs)) == (
            ScoreStatus.ERROR,
            ScoreSource.LOGGED,
            0,
        )


def test_an_end_of_turn_behind_the_text_is_none_of_it(loaded: LoadedModel) -> None:
    ended = [t for t in written(loaded) if t.finish_reason is FinishReason.STOP]
    unknown = [replace(trace, finish_reason=FinishReason.UNKNOWN) for trace in ended]
    for trace in (*ended, *unknown):
        assert trace.token_ids is not None
        row = logged(loaded, trace)
        assert row.end_logprob is not None
        assert row.token_bytes.sum() == len(trace.text.encode())
