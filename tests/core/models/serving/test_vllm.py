"""vLLM for real: what it takes from generation_config.json moves nothing, and it scores as here.

`VLLM_PYTHON=/path/to/python pytest tests/core/models/serving/test_vllm.py`, where that Python
has vLLM 0.32: it is no dependency of rdpt's, and needs a minute and 3 GB to start.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from rdpt_core.models.identity import identify
from rdpt_core.models.loading.weights import load
from rdpt_core.models.rendering.render import read_renderer
from rdpt_core.models.serving.endpoint import ModelServer
from rdpt_core.models.serving.fingerprint import fingerprint_of, is_same
from rdpt_core.models.serving.http import Client, Refused
from rdpt_core.models.serving.remote import Remote, connect
from rdpt_core.models.serving.server import ServerGenerator
from rdpt_core.models.spec import ModelSpec, Sampling
from rdpt_core.scoring.hf import HfScorer
from rdpt_core.scoring.server import ServerScorer
from rdpt_core.tables.rows import ScoreStatus
from tests.core.models import tiny
from tests.core.models.serving.test_fingerprint import MODELS, written

PYTHON = os.environ.get("VLLM_PYTHON", "")
pytestmark = pytest.mark.skipif(not PYTHON, reason="no VLLM_PYTHON with vLLM")
FOLDER = MODELS / "teacher"
PROBLEM = tiny.problem("Ann has 12 apples and buys 30 more. How many?")
DEFAULTS = {"top_k": 1, "min_p": 0.2, "repetition_penalty": 1.5, "temperature": 0.3}
START_SECONDS = 600
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [
        PYTHON,
        "-m",
        "vllm.entrypoints.cli.main",
        "serve",
        str(FOLDER),
        "--dtype",
        "float32",
        "--served-model-name",
        "small",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--max-model-len",
        "512",
        "--enforce-eager",
        "--no-enable-prefix-caching",
        "--override-generation-config",
        json.dumps(DEFAULTS),
    ]
    server = subprocess.Popen(command, env=os.environ | ENVIRONMENT, start_new_session=True)
    try:
        _wait(f"http://127.0.0.1:{port}/v1/models", server)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(server.pid, signal.SIGTERM)  # its engine is a process of its own
        server.wait(60)


def _wait(address: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        assert server.poll() is None
        try:
            httpx.get(address, timeout=1.0, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.5)
        else:
            return
    pytest.fail(f"vLLM did not start within {START_SECONDS} s")


def remote(url: str, **fields: str) -> Remote:
    named = {"path": str(FOLDER), "backend": "server", "server": "lab", "served": "small"} | fields
    spec = ModelSpec.model_validate(named)
    return connect(Client(ModelServer(url=url)), spec, read_renderer(spec, FOLDER), None)


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_defaults_of_generation_config_move_nothing(url: str, api: str) -> None:
    found = remote(url, api=api)
    assert found.sampling_fault is None
    assert found.about()["version"]


def test_a_request_that_names_nothing_is_sampled_by_the_defaults(url: str) -> None:
    """What all this is for: with top_k 1 every seed gives one text."""
    body = {
        "model": "small",
        "prompt": "The sky is blue, and",
        "max_tokens": 24,
        "temperature": 1.0,
    }
    texts = set()
    for seed in (1, 2, 3):
        answer = httpx.post(
            f"{url}/completions", json=body | {"seed": seed}, trust_env=False, timeout=120.0
        ).json()
        texts.add(answer["choices"][0]["text"])
    assert len(texts) == 1


def test_its_numbers_are_those_of_the_model_that_is_loaded_here(url: str) -> None:
    found = remote(url)
    assert found.scoring_fault is None
    identity = identify(found.spec, Path(), served="s")
    generator = ServerGenerator(found, identity, Sampling(max_new_tokens=60), 1)
    (trace,) = generator.generate([PROBLEM], 0)
    assert trace.token_ids is not None
    assert trace.logprobs is not None
    traces = [replace(trace, author="another")]
    (row,) = ServerScorer(found, identity).score([PROBLEM], traces)
    local = load(ModelSpec(path=str(FOLDER)), Path(), threads=1)
    (exact,) = HfScorer(local).score([PROBLEM], traces)
    assert row.status is ScoreStatus.OK
    np.testing.assert_allclose(row.logprobs, exact.logprobs, atol=1e-3)
    assert row.ranks.tolist() == exact.ranks.tolist()


def test_its_model_is_known_by_weights_and_dtype(url: str) -> None:
    found = remote(url).fingerprint
    here, half = (
        fingerprint_of(w, w) for w in (written("teacher", d) for d in ("float32", "bfloat16"))
    )
    assert is_same(here, found)
    assert not is_same(half, found)


def test_what_it_refuses_is_told_in_its_words(url: str) -> None:
    with pytest.raises(Refused, match=r"404: Not Found \(.*try http://.*/v1\)"):
        remote(url.removesuffix("/v1"))
    with pytest.raises(ValueError, match=r"no model .large.*it has: small"):
        remote(url, served="large")
