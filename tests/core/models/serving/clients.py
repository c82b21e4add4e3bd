"""Clients of a stand-in model server, and the models behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rdpt_core.models.identity import identify
from rdpt_core.models.loading.weights import load
from rdpt_core.models.serving.endpoint import ModelServer
from rdpt_core.models.serving.http import Client
from rdpt_core.models.serving.remote import Remote, connect
from rdpt_core.models.spec import ModelSpec
from rdpt_core.scoring.server import ServerScorer
from rdpt_core.tables.rows import FinishReason, TokenScores, Trace
from tests.core.models import tiny
from tests.core.models.serving.model_server import Brain, StandInServer

POCKET = Path(__file__).resolve().parents[4] / "rdpt_core" / "pocket" / "models" / "student"
PROBLEM = tiny.problem("Ann has 12 apples and buys 30 more. How many?")
TRACE = tiny.trace(tiny.THINKING, PROBLEM, FinishReason.STOP)
KINDS = ("vllm", "sglang", "echo")
KEY = "canary-0123456789"


@pytest.fixture(scope="module")
def brain(models: Path) -> Brain:
    return Brain(load(ModelSpec(path=str(models / "qwen")), models, threads=1))


@pytest.fixture(scope="module")
def pocket() -> Brain:
    return Brain(load(ModelSpec(path=str(POCKET)), Path(), threads=1))


@pytest.fixture
def server(brain: Brain) -> Iterator[StandInServer]:
    with StandInServer(brain, limit=256).running() as running:
        yield running


def client(server: StandInServer, **changes: Any) -> Client:
    """One that never waits; `slept` says how long it would have."""
    slept: list[float] = []
    now = [0.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    fields = {"deadline": 30.0, "concurrency": 4} | changes
    said: list[str] = []
    made = Client(
        ModelServer(url=server.url, **fields), sleep, lambda: 1.0, lambda: now[0], said.append
    )
    made.slept, made.said = slept, said  # type: ignore[attr-defined]
    return made


def remote(server: StandInServer, of: Client | None = None, **spec: Any) -> Remote:
    renderer = server.brain.loaded.renderer
    named = {"backend": "server", "server": "lab", "served": server.served} | spec
    asked = ModelSpec.model_validate({"path": renderer.path, **named})
    return connect(of or client(server), asked, renderer, 1024)


def scorer(server: StandInServer) -> ServerScorer:
    """One that has stood the probe."""
    found = remote(server)
    return ServerScorer(found, identify(found.spec, Path(), served="s"))


def scores(server: StandInServer, traces: list[Trace]) -> list[TokenScores]:
    return list(scorer(server).score([PROBLEM], traces))


def ask(of: Client, tries: int | None = None) -> Any:
    return of.ask(
        "completions", {"prompt": [1, 2], "max_tokens": 1}, lambda answer: answer, tries=tries
    )
