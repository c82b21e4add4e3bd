"""The address of a model server."""

from __future__ import annotations

import pytest

from rdpt_core.models.serving.endpoint import ModelServer


@pytest.mark.fault("X9")
@pytest.mark.parametrize(
    "url", ["ftp://a/v1", "127.0.0.1:8000", "http://me:secret@a/v1", "http://a/v1?key=secret"]
)
def test_x9_only_a_plain_address_is_taken(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        ModelServer(url=url)
