"""The window of requests, and an outage of the server."""

from __future__ import annotations

import threading
import time

import pytest

from rdpt_core.models.serving.http import Unreachable
from tests.core.models.serving import model_server as m
from tests.core.models.serving.clients import ask, brain, client, server
from tests.core.models.serving.model_server import StandInServer

__all__ = ["brain", "server"]


@pytest.mark.fault("F19")
def test_f19_the_window_grows_again_after_successes(server: StandInServer) -> None:
    of = client(server)
    of.window.shrink()
    for _ in range(100):
        of.window.succeeded()
    assert of.window.size == 4


def test_the_time_that_a_server_may_be_away_is_a_setting(server: StandInServer) -> None:
    of = client(server, patience=5.0)
    server.always = m.status(503)
    with pytest.raises(Unreachable, match="503"):
        ask(of)
    assert sum(of.slept) <= 5.0  # type: ignore[attr-defined]


def test_one_failure_among_many_is_no_outage_to_speak_of(server: StandInServer) -> None:
    of = client(server)
    server.script = [m.status(500)]
    assert ask(of)["choices"]
    assert of.said == []  # type: ignore[attr-defined]


def test_no_more_requests_are_under_way_than_the_server_may_have(server: StandInServer) -> None:
    server.always = lambda handler, body: time.sleep(0.02) or False  # type: ignore[func-returns-value]
    of = client(server, concurrency=3)
    threads = [threading.Thread(target=ask, args=(of,)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 12
    assert server.most_under_way == 3
