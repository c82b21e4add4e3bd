"""A model behind a server: who it is, and what is recorded of it."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from rdpt_core.models.serving.http import Refused
from tests.core.models.serving.clients import KEY, brain, client, remote, server
from tests.core.models.serving.model_server import StandInServer

__all__ = ["brain", "server"]


def test_the_same_weights_behind_another_name_are_the_same_model(server: StandInServer) -> None:
    first = remote(server, of=client(server, api_key=SecretStr(KEY))).fingerprint
    server.served = "another-name"
    assert remote(server).fingerprint == first
    told = first.model_dump_json()
    assert server.url not in told
    assert KEY not in told
    assert "another-name" not in told


def test_what_a_server_says_of_itself_is_for_the_record_alone(server: StandInServer) -> None:
    found = remote(server)
    before = found.fingerprint.digest
    assert found.about() == {"api": "vllm", "version": "0.1.2", "states": ["vllm-1"]}
    server.edit = lambda body, answer: answer | {"system_fingerprint": "vllm-2"}
    again = remote(server)
    assert again.fingerprint.digest == before
    assert again.about()["states"] == ["vllm-2"]


def test_a_wrong_name_is_told_with_the_names_that_there_are(server: StandInServer) -> None:
    with pytest.raises(ValueError, match=r"no model 'smal'; did you mean small\? it has: small"):
        remote(server, served="smal")


def test_an_address_without_v1_gets_the_hint(server: StandInServer) -> None:
    server.url = server.url.removesuffix("/v1")
    with pytest.raises(Refused, match=r"answers 404: Not Found \(.*try http://.*/v1\)"):
        remote(server)
