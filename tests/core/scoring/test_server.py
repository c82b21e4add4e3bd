"""Scores of a model behind a server: the same as of a model that is loaded here, or none."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rdpt_core.models.loading.hf import HfGenerator
from rdpt_core.models.spec import Sampling
from rdpt_core.scoring.hf import HfScorer
from rdpt_core.tables.rows import ScoreSource, ScoreStatus
from tests.core.models import tiny
from tests.core.models.serving import model_server as m
from tests.core.models.serving.clients import (
    KINDS,
    PROBLEM,
    TRACE,
    brain,
    pocket,
    remote,
    scorer,
    scores,
    server,
)
from tests.core.models.serving.model_server import Brain, StandInServer

__all__ = ["brain", "pocket", "server"]


@pytest.mark.parametrize("kind", KINDS)
def test_its_scores_are_those_of_the_model_itself(
    server: StandInServer, pocket: Brain, kind: str
) -> None:
    server.brain, server.kind = pocket, kind
    own = HfGenerator(server.brain.loaded, Sampling(max_new_tokens=40), 1).generate([PROBLEM], 0)[0]
    traces = [TRACE, replace(own, author="somebody"), tiny.trace("", PROBLEM)]
    (*rows, _), (*exact, _) = (
        scores(server, traces),
        list(HfScorer(server.brain.loaded).score([PROBLEM], traces)),
    )
    for row, other in zip(rows, exact, strict=True):
        assert row.status is ScoreStatus.OK
        assert row.source is ScoreSource.SERVER
        np.testing.assert_allclose(row.logprobs, other.logprobs, atol=1e-4)
        assert row.token_bytes.tolist() == other.token_bytes.tolist()
        assert row.end_logprob == pytest.approx(other.end_logprob, abs=1e-4)
        assert row.tag_logprob == pytest.approx(other.tag_logprob, abs=1e-4)
        assert np.isnan(row.entropies).all()
        assert np.isnan(row.sum_squares).all()
        known = other.ranks if kind == "vllm" else np.zeros_like(other.ranks)
        assert row.ranks.tolist() == known.tolist()


def test_t25_no_two_requests_for_scores_share_a_cache(server: StandInServer) -> None:
    server.kind = "vllm"
    scores(server, [TRACE, TRACE])
    salts = [body["cache_salt"] for _, body in server.asked if "prompt_logprobs" in body]
    assert len(salts) > 3
    assert len(set(salts)) == len(salts)


def test_t28_what_is_longer_than_the_server_takes_less_one_is_cut(server: StandInServer) -> None:
    whole = len(remote(server).renderer.lay(PROBLEM, TRACE).input_ids)
    for limit, status in (
        (whole - 1, "partial"),
        (whole, "partial"),
        (whole + 1, "ok"),
        (9, "too_long"),
    ):
        server.limit = limit
        (row,) = scores(server, [TRACE])
        assert row.status == status, limit


def value(told: Any) -> Callable[[m.Body, m.Body], m.Body]:
    """Puts a value in the place of one log-probability of a prompt."""

    def edit(body: m.Body, answer: m.Body) -> m.Body:
        entries = answer["choices"][0]["prompt_logprobs"]
        entries[-3][str(body["prompt"][-3])]["logprob"] = told
        return answer

    return edit


def other_entries(change: Callable[[list[Any]], list[Any]]) -> Callable[[m.Body, m.Body], m.Body]:
    def edit(body: m.Body, answer: m.Body) -> m.Body:
        choice = answer["choices"][0]
        choice["prompt_logprobs"] = change(choice["prompt_logprobs"])
        return answer

    return edit


UNSOUND = {
    "nan": value(math.nan),
    "plus infinity": value(math.inf),
    "minus infinity": value(-math.inf),
    "vllm's minus infinity": value(-9999.0),
    "null": value(None),
    "positive": value(0.1),
    "a string": value("-1.5"),
    "true": value(True),
    "too few": other_entries(lambda entries: entries[:-1]),
    "too many": other_entries(lambda entries: [*entries, entries[-1]]),
    "other ids": other_entries(lambda entries: [{"1": {"logprob": -1, "rank": 1}}] * len(entries)),
    "none": other_entries(lambda entries: [None] * len(entries)),
}


@pytest.mark.fault("F24")
@pytest.mark.parametrize("edit", UNSOUND.values(), ids=UNSOUND.keys())
def test_f24_what_is_no_log_probability_of_the_ids_is_never_a_number(
    server: StandInServer, edit: Callable[[m.Body, m.Body], m.Body]
) -> None:
    asks = scorer(server)
    server.edit = edit
    (row,) = asks.score([PROBLEM], [TRACE])
    assert row.status is ScoreStatus.ERROR
    assert asks.reasons.keys() == {TRACE.trace_id}
    assert row.source is ScoreSource.SERVER
    assert len(row.logprobs) == len(row.token_bytes) == row.scored_stop == 0


def test_a_certain_token_may_round_up(server: StandInServer) -> None:
    asks = scorer(server)
    server.edit = value(5e-7)
    (row,) = asks.score([PROBLEM], [TRACE])
    assert row.status is ScoreStatus.OK
    assert np.nanmax(row.logprobs) == 0.0


def test_t27_a_target_of_any_rank_keeps_its_value(server: StandInServer) -> None:
    (row,) = scores(server, [tiny.trace("Zebras ≠ quarks, obviously.", PROBLEM)])
    assert row.status is ScoreStatus.OK
    assert row.ranks.max() > 50
