"""X8: what another site sends to Prefect's server, by its name or from its pages, is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from flows.commands.ui import servers
from flows.commands.ui.guard import Guard
from settings.runtime import Runtime


@pytest.fixture
def client() -> TestClient:
    return TestClient(Guard(PlainTextResponse("inside")), base_url="http://127.0.0.1:4200")


OURS = [
    {},
    {"Host": "localhost:4200"},
    {"Host": "[::1]:4200"},
    {"Origin": "http://127.0.0.1:4200"},
]
FOREIGN = [
    {"Host": "elsewhere.example"},
    {"Host": "127.0.0.1.elsewhere.example:4200"},
    {"Host": "[::1"},
    {"Host": ""},
    {"Origin": "http://elsewhere.example"},
    {"Origin": "null"},
    {"Host": "localhost", "Origin": "https://localhost.elsewhere.example"},
]


@pytest.mark.parametrize("headers", OURS)
def test_our_own_requests_come_through(client: TestClient, headers: dict[str, str]) -> None:
    assert client.get("/api/health", headers=headers).text == "inside"


@pytest.mark.fault("X8")
@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_x8_a_foreign_host_or_origin_gets_403(
    client: TestClient, headers: dict[str, str], method: str
) -> None:
    response = client.request(method, "/api/flows", headers=headers)
    assert response.status_code == 403
    assert "inside" not in response.text


@pytest.mark.fault("X8")
def test_x8_a_foreign_page_opens_no_socket(client: TestClient) -> None:
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/api/events/out", headers={"Origin": "http://elsewhere.example"}),
    ):
        pass


@pytest.mark.fault("X8")
def test_x8_prefect_is_served_behind_the_guard(tmp_path: Path) -> None:
    password = servers.password_file(tmp_path)
    command = servers.prefect_server(Runtime(workspace=tmp_path), 4200, password).command
    assert "flows.commands.ui.guard:prefect_app" in command
