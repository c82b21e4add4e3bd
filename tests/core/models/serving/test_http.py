"""Requests to a model server: what is asked again, what ends the run, what is an item's error."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from rdpt_core.models.serving.endpoint import ModelServer
from rdpt_core.models.serving.http import Client, ItemFailed, Refused, Unreachable
from tests.core.models.serving import model_server as m
from tests.core.models.serving.clients import KEY, ask, brain, client, server
from tests.core.models.serving.model_server import Brain, StandInServer

__all__ = ["brain", "server"]


@pytest.mark.fault("F19")
@pytest.mark.parametrize(("told", "waited"), [("7", 7.0), ("5000", 120.0), (None, 1.0)])
def test_f19_a_busy_server_is_asked_again_after_as_long_as_it_says(
    server: StandInServer, told: str | None, waited: float
) -> None:
    of = client(server)
    server.script = [m.status(429, **({"Retry_After": told} if told else {}))]
    assert ask(of)["choices"]
    assert sum(of.slept) == pytest.approx(waited)  # type: ignore[attr-defined]
    assert of.window.size == 2, "half of what it was"


@pytest.mark.fault("F20")
@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_f20_a_broken_server_is_asked_again_with_ever_longer_waits(
    server: StandInServer, code: int
) -> None:
    of = client(server)
    server.script = [m.status(code)] * 3
    assert ask(of)["choices"]
    assert sum(of.slept) == pytest.approx(1 + 2 + 4)  # type: ignore[attr-defined]


@pytest.mark.fault("F20")
def test_f20_a_lost_connection_is_made_again(server: StandInServer) -> None:
    server.script = [m.hangs_up]
    assert ask(client(server))["choices"]


@pytest.mark.fault("F20")
def test_f20_a_broken_server_that_asks_for_time_has_ten_minutes_at_most(
    server: StandInServer,
) -> None:
    of = client(server)
    server.always = m.status(503, Retry_After="120")
    with pytest.raises(Unreachable, match="503"):
        ask(of)
    assert 400 < sum(of.slept) < 600  # type: ignore[attr-defined]


@pytest.mark.fault("F19")
def test_f19_a_busy_server_is_waited_for_as_it_says(server: StandInServer) -> None:
    of = client(server)
    server.script = [m.status(429, Retry_After="120")] * 7
    assert ask(of)["choices"]
    assert sum(of.slept) == pytest.approx(840)  # type: ignore[attr-defined]


@pytest.mark.fault("F20")
def test_f20_a_server_that_stays_broken_ends_the_run_within_ten_minutes(
    server: StandInServer,
) -> None:
    of = client(server)
    server.always = m.status(503)
    with pytest.raises(Unreachable, match="503"):
        ask(of)
    assert 400 < sum(of.slept) < 600  # type: ignore[attr-defined]


@pytest.mark.fault("F20")
@pytest.mark.parametrize("fault", [m.status(503), m.hangs_up])
def test_a_server_that_is_away_for_two_seconds_ends_no_run_with_16_requests_in_flight(
    server: StandInServer, fault: m.Fault
) -> None:
    """It failed 20 times in a row within a second, and that ended the run. Now one request asks
    for all the others, and one line says so."""
    said: list[str] = []
    of = Client(ModelServer(url=server.url, concurrency=16), say=said.append)
    asked_at: list[float] = []

    def away(handler: m.Handler, body: m.Body) -> bool:
        asked_at.append(time.monotonic())
        return asked_at[-1] < asked_at[0] + 2.0 and fault(handler, body)

    server.always = away
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: ask(of), range(40)))
    assert all(answer["choices"] for answer in answers)
    in_vain = len(server.asked) - len(server.answered)
    assert in_vain <= 16 + 3, "16 were under way, and one asked at a time"
    assert len(said) == 2
    assert "asking again for up to 540 s" in said[0]
    assert "answers again, after" in said[1]


@pytest.mark.fault("F20")
def test_f20_nobody_there() -> None:
    of = client(StandInServer(None, url="http://127.0.0.1:9/v1"))  # type: ignore[arg-type]
    with pytest.raises(ConnectionError, match=r"cannot be reached.*tried 2 times"):
        ask(of, tries=2)
    assert of.said == [], "it is not asked again"  # type: ignore[attr-defined]


@pytest.mark.fault("F20")
def test_f20_one_request_that_breaks_the_server_is_an_item(server: StandInServer) -> None:
    """Others are answered meanwhile."""
    of = client(server)

    def breaks(handler: m.Handler, body: m.Body) -> bool:
        of.window.succeeded()
        return m.status(500)(handler, body)

    server.always = breaks
    with pytest.raises(ItemFailed, match="while others were answered"):
        ask(of)


@pytest.mark.fault("F21")
def test_f21_one_deadline_for_a_request_however_it_dribbles(server: StandInServer) -> None:
    of = client(server, deadline=0.4)
    server.always = m.dribbles
    begun = time.monotonic()
    with pytest.raises(Unreachable, match=r"within 0.4 s"):
        ask(of)
    assert time.monotonic() - begun < 2 * (0.4 + 1)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"error": {"message": "no such model", "code": 404}}, "no such model"),
        ({"error": "Unauthorized"}, "Unauthorized"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"detail": [{"msg": "too short"}]}, "too short"),
        ({"object": "error", "message": "one\ntwo"}, "one two"),
        ("plain", "plain"),
        ({"error": {"message": "red \x1b[31m"}}, r"red \?\[31m"),
    ],
)
def test_errors_are_read_in_every_form_that_servers_have(
    server: StandInServer, content: Any, said: str
) -> None:
    server.script = [lambda handler, body: handler.send(400, content) or True]  # type: ignore[func-returns-value]
    with pytest.raises(ItemFailed, match=said) as told:
        ask(client(server))
    assert str(told.value).isprintable()


@pytest.mark.fault("F22")
def test_f22_a_request_that_is_refused_is_not_sent_again(server: StandInServer) -> None:
    server.script = [m.status(400, "too long")]
    with pytest.raises(ItemFailed, match="too long"):
        ask(client(server))
    assert len(server.asked) == 1


@pytest.mark.fault("F22", "X6")
@pytest.mark.parametrize("code", [401, 403, 404])
def test_f22_a_wrong_key_or_address_stops_and_the_key_is_not_told(
    server: StandInServer, code: int
) -> None:
    server.script = [m.status(code, f"key {KEY} is unknown")]
    with pytest.raises(Refused, match=r"key \[key\] is unknown") as told:
        ask(client(server, api_key=SecretStr(KEY)))
    assert KEY not in str(told.value)
    assert len(server.asked) == 1


@pytest.mark.fault("X9")
def test_x9_no_redirect_is_followed(server: StandInServer) -> None:
    server.script = [m.status(307, Location="http://127.0.0.1:9/v1/completions")]
    with pytest.raises(Refused, match="redirects are not followed"):
        ask(client(server))


@pytest.mark.fault("X6", "X9")
def test_x9_a_redirect_and_a_proxy_of_the_environment_are_sent_no_key(
    server: StandInServer, brain: Brain, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StandInServer(brain, limit=256).running() as other:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, other.url.removesuffix("/v1"))
        server.key = KEY
        server.script = [m.status(code, Location=other.url) for code in (301, 302, 307, 308)]
        for _ in range(4):
            with pytest.raises(Refused, match="redirects are not followed"):
                ask(client(server, api_key=SecretStr(KEY)))
        assert ask(client(server, api_key=SecretStr(KEY)))["choices"]
        assert other.asked == []


@pytest.mark.fault("X9")
def test_x9_a_certificate_that_nobody_signed_ends_before_the_key_is_sent(
    server: StandInServer, certified: Path
) -> None:
    """A server that speaks TLS with a certificate of its own making."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certified)
    heard: list[bytes] = []

    def listen(listening: socket.socket) -> None:
        with suppress(OSError), listening.accept()[0] as plain:
            heard.append(context.wrap_socket(plain, server_side=True).recv(4096))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=listen, args=(listening,), daemon=True).start()
        server.url = f"https://127.0.0.1:{listening.getsockname()[1]}/v1"
        with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
            client(server, api_key=SecretStr(KEY), patience=0.0).ask("models", None, dict, tries=1)
    assert heard == []


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key with a certificate that it signed itself."""
    path = tmp_path_factory.mktemp("tls") / "own.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *names]
    if not shutil.which("openssl"):
        pytest.skip("no openssl makes a certificate here")
    subprocess.run([*command, "-keyout", path, "-out", path.with_suffix(".crt")], check=True)
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


@pytest.mark.fault("X9")
def test_x9_an_answer_that_never_ends_is_cut(
    server: StandInServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rdpt_core.models.serving.http.MOST_BYTES", 1000)
    server.script = [m.says(b"[" * 5000)]
    with pytest.raises(ItemFailed, match="more than"):
        ask(client(server))


@pytest.mark.fault("F23")
def test_f23_garbage_once_loses_nothing(server: StandInServer) -> None:
    server.script = [m.says(b"<html>")] * 2
    assert ask(client(server))["choices"]
