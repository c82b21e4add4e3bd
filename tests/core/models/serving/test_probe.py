"""The probe of a server before anything is taken from it."""

from __future__ import annotations

import pytest

from tests.core.models.serving import model_server as m
from tests.core.models.serving.clients import (
    KINDS,
    TRACE,
    brain,
    client,
    pocket,
    remote,
    scores,
    server,
)
from tests.core.models.serving.model_server import Brain, StandInServer

__all__ = ["brain", "pocket", "server"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shift", [1, -1])
def test_t41_values_of_another_row_are_refused_with_the_shift(
    server: StandInServer, pocket: Brain, kind: str, shift: int
) -> None:
    server.brain, server.kind, server.shift = pocket, kind, shift
    side = "late" if shift == 1 else "early"
    with pytest.raises(ValueError, match=rf"shifted by one token \(one token {side}\)"):
        scores(server, [TRACE])


def test_values_that_moved_among_the_entries_are_refused_with_the_shift(
    server: StandInServer,
) -> None:
    """The likeliest tokens are where they belong, the numbers are not."""

    def move(body: m.Body, answer: m.Body) -> m.Body:
        if "prompt_logprobs" in body:
            entries = answer["choices"][0]["prompt_logprobs"]
            for at, token_id in enumerate(body["prompt"][:-1]):
                if at:
                    other = entries[at + 1][str(body["prompt"][at + 1])]["logprob"]
                    entries[at][str(token_id)]["logprob"] = other
        return answer

    server.edit = move
    with pytest.raises(ValueError, match="shifted by one token"):
        scores(server, [TRACE])


@pytest.mark.parametrize(
    ("what", "refusal"),
    [("values", "not those with which it wrote"), ("tokens", "log-probabilities are processed")],
)
def test_values_of_a_changed_distribution_are_refused(
    server: StandInServer, what: str, refusal: str
) -> None:
    """Cooled by half, or with another token ahead at every position."""

    def change(body: m.Body, answer: m.Body) -> m.Body:
        entries = answer["choices"][0].get("prompt_logprobs") or []
        for token_id, entry in list(zip(body.get("prompt", []), entries, strict=False))[1:]:
            if what == "values":
                for told in entry.values():
                    told["logprob"] *= 2
            else:
                entry[str((token_id + 1) % 300)] = {"logprob": 0.0, "rank": 1}
        return answer

    server.edit = change
    with pytest.raises(ValueError, match=refusal):
        scores(server, [TRACE])


def test_a_server_that_tells_nothing_of_a_prompt_is_refused(server: StandInServer) -> None:
    def drop(body: m.Body, answer: m.Body) -> m.Body:
        answer["choices"][0].pop("prompt_logprobs", None)
        return answer

    server.edit = drop
    with pytest.raises(ValueError, match="gives no log-probabilities of a prompt"):
        scores(server, [TRACE])


def test_t25_values_that_depend_on_the_order_of_requests_are_refused(server: StandInServer) -> None:
    def drift(body: m.Body, answer: m.Body) -> m.Body:
        for entry in (answer["choices"][0].get("prompt_logprobs") or [])[1:]:
            for told in entry.values():
                told["logprob"] -= 0.1 * len(server.asked)
        return answer

    server.edit = drift
    with pytest.raises(ValueError, match="depend on what was asked in between"):
        scores(server, [TRACE])


def test_t26_a_server_that_tells_processed_values_may_not_score(
    server: StandInServer, pocket: Brain
) -> None:
    server.brain, server.processed, server.ignores = pocket, True, True
    server.defaults = {"top_k": 2}
    with pytest.raises(ValueError, match="of a text that it sampled are processed"):
        scores(server, [TRACE])


def test_the_probe_says_that_it_asks_and_asks_for_all_at_once(server: StandInServer) -> None:
    of = client(server)
    server.seconds = lambda body: 0.05
    assert remote(server, of=of).scoring_fault is None
    assert server.most_under_way == 4
    said = of.said  # type: ignore[attr-defined]
    assert len(said) == 3
    assert all(line.startswith("server 'lab', 'small': ") for line in said)
