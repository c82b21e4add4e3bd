"""`rdpt ui`: loopback only, protected, and no child outlives it."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import errors
from flows.commands.ui import command, servers
from flows.commands.ui.servers import LocalServer
from settings.loading import BadSettings
from settings.runtime import Runtime
from tasks.progress import quietly
from tasks.projection import Projection
from tasks.tracking.client import Mlflow


@pytest.mark.fault("X8")
def test_both_listen_on_loopback_and_send_nothing_home(tmp_path: Path) -> None:
    runtime, password = Runtime(workspace=tmp_path), servers.password_file(tmp_path)
    mlflow = servers.mlflow_server(runtime, 5000)
    prefect = servers.prefect_server(runtime, 4200, password)
    for server in (mlflow, prefect):
        command = list(server.command)
        assert command[command.index("--host") + 1] == "127.0.0.1"
        assert server.environment["DO_NOT_TRACK"] == "1"
    assert mlflow.environment["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    assert mlflow.environment["MLFLOW_DISABLE_TELEMETRY"] == "true"


@pytest.mark.fault("X8")
def test_prefect_is_protected_by_origin_token_and_password(tmp_path: Path) -> None:
    password = servers.password_file(tmp_path)
    server = servers.prefect_server(Runtime(workspace=tmp_path), 4200, password)
    secret = password.read_text().strip()
    assert server.environment["PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED"] == "true"
    assert "*" not in server.environment["PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS"]
    assert server.environment["PREFECT_SERVER_API_AUTH_STRING"] == secret
    assert not any(secret in word for word in server.command)


@pytest.mark.fault("X8")
def test_the_password_is_made_once_and_is_the_owners_alone(tmp_path: Path) -> None:
    path = servers.password_file(tmp_path)
    text = path.read_text()
    assert servers.password_file(tmp_path).read_text() == text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for damaged in (b"", b"rdpt:", b"\xff\xfe\x00", text.encode()[:7]):
        path.write_bytes(damaged)
        again = servers.password_file(tmp_path).read_text()
        assert servers.COMPLETE.fullmatch(again.encode())
    path.write_text("me:a password of my own\n".replace(" ", "-"))
    assert servers.password_file(tmp_path).read_text().startswith("me:")


def never() -> None:
    raise AssertionError("greeted before both answered")


def test_a_port_in_use_is_named_with_its_flag() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        with pytest.raises(BadSettings, match=f"port {port} is in use.*--prefect-port"):
            command.require_free([LocalServer("Prefect", port, [], {})])


def test_one_that_ends_takes_the_other_with_it(tmp_path: Path) -> None:
    long = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); "
    sleeps = LocalServer("one", 1, [sys.executable, "-c", long + "time.sleep(600)"], {})
    waits = f"import os, time\nwhile not os.path.getsize({str(tmp_path / 'pid')!r}): time.sleep(.1)"
    (tmp_path / "pid").touch()
    ends = LocalServer("other", 2, [sys.executable, "-c", waits], {})
    assert command.watch([sleeps, ends], tmp_path, never) == errors.SERVICE
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT as on a terminal; whoever starts tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.fault("F27")
@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_it_well(tmp_path: Path) -> None:
    sleeps = LocalServer("one", 1, [sys.executable, "-c", "import time; time.sleep(600)"], {})
    main = threading.get_ident()
    later = threading.Timer(1.0, lambda: signal.pthread_kill(main, signal.SIGINT))
    later.start()
    begun = time.monotonic()
    assert command.watch([sleeps], tmp_path, never) == 0
    assert time.monotonic() - begun < 20


PAGE = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked for", self.path, flush=True)
        self.send_response(200)
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.handle_request()
"""


def test_it_greets_when_the_servers_answer_and_keeps_their_output(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    server = LocalServer("MLflow", port, [sys.executable, "-c", PAGE, str(port)], {})
    greeted: list[bool] = []
    assert command.watch([server], tmp_path, lambda: greeted.append(True)) == errors.SERVICE
    assert greeted == [True]
    assert "asked for /health" in (tmp_path / "ui-mlflow.log").read_text()


def test_servers_that_never_answer_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "START_SECONDS", 0.1)
    mute = LocalServer("MLflow", 1, [sys.executable, "-c", "import time; time.sleep(600)"], {})
    assert command.watch([mute], tmp_path, never) == errors.SERVICE
    assert "MLflow did not answer" in capsys.readouterr().err


def test_it_says_the_result_of_each_experiment_with_the_address_of_its_comparison(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "open_page", lambda path: False)
    runtime, password = Runtime(workspace=tmp_path), servers.password_file(tmp_path / "prefect")
    mlflow = Mlflow(runtime, "pocket")
    mlflow.open()
    text = "random 0.7 [0.6, 0.8] is highest of 3: [charts](x)\n\nmore"
    mlflow.tell(Projection("comparison", "5" * 32, 1, 2, {}, {}, "", description=text))
    mlflow.tell(Projection("comparison", "5" * 32, 1, 2, {}, {}, "", description=text))
    prefect = servers.prefect_server(runtime, 4200, password)
    with quietly():  # addresses are what the verb is for
        command.greet(runtime, [servers.mlflow_server(runtime, 5000), prefect], password)
    said = capsys.readouterr().err
    (line,) = [line for line in said.splitlines() if line.startswith("  pocket: ")]
    assert line.startswith(
        "  pocket: random 0.7 [0.6, 0.8] is highest of 3: http://127.0.0.1:5000/#"
    )
    assert line.endswith("workflowType=machine_learning&viewStateShareKey=comparison")
    assert f"asks for a password, the line in {password}" in said
    assert password.read_text().strip() not in said
