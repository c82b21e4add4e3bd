"""llama-cpp-python for real: it writes, and its echoed values are those of the next row.

`LLAMA_PYTHON=/path/to/python pytest tests/core/models/loading/test_llama_cpp.py`, where that
Python has `pip install "llama-cpp-python[server]" gguf`: it is no dependency of rdpt's, and
compiles for minutes.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch
from pydantic import SecretStr

from rdpt_core.models.identity import identify
from rdpt_core.models.rendering.render import read_renderer
from rdpt_core.models.serving.endpoint import ModelServer
from rdpt_core.models.serving.http import Client
from rdpt_core.models.serving.probe import TEXTS
from rdpt_core.models.serving.remote import Remote, connect
from rdpt_core.models.serving.server import ServerGenerator
from rdpt_core.models.spec import ModelSpec, Sampling
from tests.core.models import tiny

PYTHON = os.environ.get("LLAMA_PYTHON", "")
pytestmark = pytest.mark.skipif(not PYTHON, reason="no LLAMA_PYTHON with llama-cpp-python")


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    folder = made(tmp_path_factory.mktemp("gguf"))
    file = folder / "small.gguf"
    write = Path(__file__).with_name("qwen_gguf.py")
    subprocess.run([PYTHON, write, folder, file], check=True)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [
        PYTHON,
        "-m",
        "llama_cpp.server",
        "--model",
        str(file),
        "--model_alias",
        "small",
        "--logits_all",
        "true",
        "--n_ctx",
        "256",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--api_key",
        "secret",
        "--n_threads",
        "1",
    ]
    server = subprocess.Popen(command)
    try:
        _wait(f"http://127.0.0.1:{port}/v1/models", server)
        address = ModelServer(url=f"http://127.0.0.1:{port}/v1", api_key=SecretStr("secret"))
        spec = ModelSpec(
            path=str(folder), backend="server", server="lab", served="small", context=256
        )
        yield connect(Client(address), spec, read_renderer(spec, folder), None)
    finally:
        server.terminate()
        server.wait(30)


def made(folder: Path) -> Path:
    """A tiny Qwen3 that has learnt some lines, so that what it writes is text; its tokenizer cuts
    as Qwen's does, which llama.cpp knows."""
    tokenizer = tiny.byte_level(["<|im_start|>", "<|im_end|>", "<think>", "</think>"])
    model = tiny.qwen(tiny.size_of(tokenizer))
    text = torch.tensor([tokenizer.encode(" ".join([*tiny.CORPUS[:4], *TEXTS]) * 2).ids[:250]])
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(150):
        loss = model(input_ids=text, labels=text).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return tiny.write_folder(folder, tokenizer, model, tiny.CHATML, {"eos_token": "<|im_end|>"})


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert server.poll() is None
        try:
            httpx.get(url, timeout=1.0, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return


def test_it_writes(remote: Remote) -> None:
    identity = identify(remote.spec, Path(), served=remote.fingerprint.digest)
    rule = Sampling(temperature=0.0, max_new_tokens=40)
    (trace,) = ServerGenerator(remote, identity, rule, 1).generate([tiny.problem()], 0)
    assert trace.text
    assert trace.logprobs is None


def test_its_scores_are_refused_for_the_shift(remote: Remote) -> None:
    with pytest.raises(ValueError, match=r"shifted by one token \(one token late\)"):
        remote.require_scoring()
