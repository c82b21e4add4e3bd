"""Texts that are no samples of the model are found out."""

from __future__ import annotations

import pytest

from tests.core.models.serving import model_server as m
from tests.core.models.serving.clients import brain, pocket, server
from tests.core.models.serving.model_server import Brain, StandInServer
from tests.core.models.serving.test_server import DEFAULTS, generated

__all__ = ["brain", "pocket", "server"]


@pytest.mark.parametrize("defaults", DEFAULTS.values(), ids=DEFAULTS.keys())
def test_t44_a_server_that_samples_in_its_own_way_is_refused(
    server: StandInServer, pocket: Brain, defaults: m.Body
) -> None:
    server.brain, server.defaults, server.ignores = pocket, defaults, True
    with pytest.raises(ValueError, match="does not sample 'small' as it is asked: "):
        generated(server)


def test_t44_without_log_probabilities_equal_texts_of_two_seeds_tell(server: StandInServer) -> None:
    server.defaults, server.ignores = {"top_k": 1}, True
    with pytest.raises(ValueError, match="two seeds give the same texts at temperature 1"):
        generated(server, api="chat")
