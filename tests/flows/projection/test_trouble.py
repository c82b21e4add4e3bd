"""An MLflow that is away, mute or broken is never in a run's way."""

from __future__ import annotations

import http.server
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows.workspace import Opened
from rdpt_core.tables.rows import (
    TrainingStep,
)
from settings.runtime import Runtime
from tasks.projection import LOSS, Projection
from tasks.tracking import addresses, tracker
from tasks.tracking.addresses import view_address
from tasks.tracking.client import Mlflow
from tasks.tracking.tracker import Tracker

Capture = pytest.CaptureFixture[str]


# ---------------------------------------------------------------------------- MLflow in trouble


def tell(runtime: Runtime, whole: Projection, steps: int = 50, name: str = "toy") -> float:
    """Seconds that a run of an experiment spends on MLflow."""
    begun = time.monotonic()
    tracker = Tracker(runtime, name)
    for step in range(steps):
        tracker.step([whole], TrainingStep("s", step, 1.0, 1e-3, None, 1, 1, 1, None))
    tracker.configuration(whole.name, lambda: whole)
    tracker.configuration(whole.name, lambda: whole)
    tracker.close()
    return time.monotonic() - begun


@pytest.fixture
def dead() -> Iterator[str]:
    """A port that is ours and on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def mute() -> Iterator[str]:
    """A server that accepts and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def broken() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503)

        def log_message(self, *_: Any) -> None: ...

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()


@pytest.fixture
def half() -> Iterator[str]:
    """A server that says that it is well, and then answers nothing."""
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/health":
                over.wait()
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.daemon_threads = True
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}"
    over.set()
    served.shutdown()


@pytest.fixture
def endless() -> Iterator[str]:
    """A server whose every answer trickles in and has no end."""
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while not over.wait(0.2):
                    self.wfile.write(b" ")

        def log_message(self, *_: Any) -> None: ...

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.daemon_threads = True
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}"
    over.set()
    served.shutdown()


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "locked.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    yield f"sqlite:///{path}"
    connection.close()


@pytest.mark.fault("F17")
@pytest.mark.parametrize("trouble", ["dead", "mute", "half", "broken", "endless", "locked"])
def test_an_mlflow_in_trouble_delays_a_run_by_seconds_and_warns_once(
    trouble: str,
    whole: Projection,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracker, "PATIENCE", 4.0)
    address = request.getfixturevalue(trouble)
    assert tell(Runtime(workspace=tmp_path, tracking=address), whole) < tracker.PATIENCE + 1
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert "rdpt sync" in warnings[0]


@pytest.mark.fault("F17")
def test_one_that_hangs_later_costs_the_patience_and_no_more(
    whole: Projection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forever = threading.Event()
    monkeypatch.setattr(tracker, "PATIENCE", 0.5)
    monkeypatch.setattr(Mlflow, "open", lambda self: None)
    monkeypatch.setattr(Mlflow, "tell", lambda self, projection: forever.wait())
    assert tell(Runtime(workspace=tmp_path), whole, steps=0) < 2
    forever.set()


def test_a_link_is_waited_for_once_and_not_for_ever(
    tmp_path: Path, endless: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "LINK_SECONDS", 0.5)
    begun = time.monotonic()
    for _ in range(9):
        assert view_address(Runtime(workspace=tmp_path, tracking=endless), "toy", "x") is None
    assert time.monotonic() - begun < 4


@pytest.mark.fault("F17")
def test_a_required_mlflow_whose_answer_has_no_end_is_an_error(
    tmp_path: Path, endless: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracker, "REQUIRED_PATIENCE", 0.5)
    with pytest.raises(ConnectionError, match="did not answer in time"):
        Tracker(Runtime(workspace=tmp_path, tracking=endless, tracking_required=True), "toy")


@pytest.mark.fault("F17")
def test_a_required_mlflow_that_is_down_is_an_error(
    whole: Projection, tmp_path: Path, dead: str
) -> None:
    runtime = Runtime(workspace=tmp_path, tracking=dead, tracking_required=True)
    with pytest.raises(ConnectionError, match=r"MLflow at http://127\.0\.0\.1"):
        tell(runtime, whole)


def test_tracking_that_is_off_makes_nothing(whole: Projection, tmp_path: Path) -> None:
    tell(Runtime(workspace=tmp_path, tracking="off"), whole)
    assert [*tmp_path.iterdir()] == []


def test_a_damaged_part_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> Projection:
        raise ValueError("part traces/1 was damaged")

    monkeypatch.setattr(Mlflow, "open", lambda self: None)
    tracker = Tracker(Runtime(workspace=tmp_path), "toy")
    tracker.configuration("random", fails)
    tracker.close()
    assert "random was not told to MLflow: part traces/1 was damaged" in capsys.readouterr().err


def test_a_live_run_has_its_losses_before_it_is_complete(made: Opened, server: Mlflow) -> None:
    early = SimpleNamespace(name="early", digest="f" * 32)
    tracker = Tracker(made.runtime, "toy")
    for step in range(1, 4):
        tracker.step([early], TrainingStep("s", step, 1.0 / step, 1e-3, None, step, 1, 1, None))
    tracker.close()
    run = server._found_run(early.digest)
    assert run is not None
    assert run.info.status == "RUNNING"
    assert len(server._client.get_metric_history(run.info.run_id, LOSS)) == 3
    server._client.delete_run(run.info.run_id)
