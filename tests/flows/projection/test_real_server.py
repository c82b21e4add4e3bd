"""MLflow behind real HTTP: whatever it does, a run goes on, and `rdpt sync` makes up for it once.

Between a run and a real `mlflow server` stands a relay, which is well for some requests and then
has one of the troubles of real services.
"""

from __future__ import annotations

import http.client
import http.server
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from settings.runtime import Runtime
from tasks.projection import LOSS, Projection
from tasks.tracking import tracker
from tasks.tracking.client import Mlflow
from tests.flows.projection.test_trouble import tell
from tests.flows.real_mlflow import RealMlflow

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("RDPT_TEST_REAL_MLFLOW") != "1",
        reason="RDPT_TEST_REAL_MLFLOW=1: beside other tests MLflow's server stops answering",
    ),
    pytest.mark.timeout(60),
]
PATIENCE = 4.0
"""Seconds here, in place of the 10 of a run."""
Trouble = Callable[["Handler"], bool]
"""Answers in place of MLflow, or only waits; true if it answered."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    relay: Relay

    def handle_any(self) -> None:
        relay, length = self.relay, int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        relay.num_seen += 1
        if relay.num_seen > relay.num_well and relay.trouble(self):
            self.close_connection = True
            return
        with suppress(OSError):
            away = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=30)
            away.request(self.command, self.path, body, dict(self.headers))
            answer = away.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def log_message(self, *_: Any) -> None: ...


@dataclass
class Relay:
    """Passes requests on to a port; after `num_well` of them its trouble begins."""

    port: int
    num_well: int = 10**9
    trouble: Trouble = lambda handler: False
    num_seen: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    address: str = ""


def answers_500(handler: Handler) -> bool:
    handler.send_error(500)
    return True


def resets(handler: Handler) -> bool:
    return True


def is_slow(handler: Handler) -> bool:
    handler.relay.over.wait(1.5)
    return False


def never_ends(handler: Handler) -> bool:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.end_headers()
    with suppress(OSError):
        while not handler.relay.over.wait(0.2):
            handler.wfile.write(b" ")
    return True


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealMlflow]:
    with RealMlflow(tmp_path_factory.mktemp("mlflow")).running() as running:
        yield running


@pytest.fixture
def relay(mlflow: RealMlflow) -> Iterator[Relay]:
    made = Relay(mlflow.port)
    handler = type("OfRelay", (Handler,), {"relay": made})
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    served.daemon_threads = True
    threading.Thread(target=served.serve_forever, daemon=True).start()
    made.address = f"http://127.0.0.1:{served.server_port}"
    yield made
    made.over.set()
    served.shutdown()


def held(told: Mlflow, whole: Projection) -> tuple[int, dict[str, float], Counter[Any]]:
    """What MLflow has of a configuration: active runs, metrics, and how often each loss."""
    experiment = told._experiment.experiment_id
    runs = told._client.search_runs(
        [experiment], f"tags.`rdpt.configuration` = '{whole.digest}'", max_results=100
    )
    history = told._client.get_metric_history(runs[0].info.run_id, LOSS)
    return len(runs), dict(runs[0].data.metrics), Counter((m.step, m.value) for m in history)


def synced(runtime: Runtime, name: str, whole: Projection) -> Mlflow:
    """As `rdpt sync` does it."""
    told = Mlflow(runtime, name)
    told.open()
    told.tell(whole)
    return told


@pytest.mark.fault("F17")
@pytest.mark.parametrize("trouble", [answers_500, resets, is_slow, never_ends])
@pytest.mark.parametrize("num_well", [0, 9])
def test_f17_trouble_at_the_start_or_midway_costs_seconds_and_sync_logs_the_rest_once(
    relay: Relay,
    whole: Projection,
    trouble: Trouble,
    num_well: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    monkeypatch.setattr(tracker, "PATIENCE", PATIENCE)
    runtime = Runtime(workspace=tmp_path, tracking=relay.address)
    relay.num_well, relay.trouble = num_well, trouble
    name = f"{trouble.__name__} after {num_well}"
    seconds = tell(runtime, whole, 5, name)
    assert seconds < PATIENCE + 1
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert "rdpt sync" in warnings[0]
    relay.num_well = 10**9
    relay.over.set()
    for thread in threading.enumerate():
        if thread.name == "mlflow":  # would have ended with the process of a run
            thread.join(60)
    first = held(synced(runtime, name, whole), whole)
    assert first[0] == 1
    assert first[1]["accuracy"] == pytest.approx(0.1235)
    assert set(first[2].values()) == {1}
    assert held(synced(runtime, name, whole), whole) == first
    record_property("figure", f"{name}: {seconds:.1f} s")


@pytest.mark.fault("F17")
def test_f17_a_deleted_run_is_made_again_once(
    relay: Relay, whole: Projection, tmp_path: Path
) -> None:
    runtime = Runtime(workspace=tmp_path, tracking=relay.address)
    told = synced(runtime, "deleted run", whole)
    told._client.delete_run(told._runs[whole.digest])
    assert tell(runtime, whole, 5, "deleted run") < tracker.PATIENCE
    for _ in range(2):
        assert held(synced(runtime, "deleted run", whole), whole)[0] == 1


@pytest.mark.fault("F17")
def test_f17_a_deleted_experiment_is_named_and_the_run_goes_on(
    relay: Relay, whole: Projection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime = Runtime(workspace=tmp_path, tracking=relay.address)
    told = synced(runtime, "deleted experiment", whole)
    told._client.delete_experiment(told._experiment.experiment_id)
    assert tell(runtime, whole, 5, "deleted experiment") < tracker.PATIENCE
    assert "was deleted there: restore it" in capsys.readouterr().err
    told._client.restore_experiment(told._experiment.experiment_id)
    assert held(synced(runtime, "deleted experiment", whole), whole)[0] == 1


@pytest.mark.fault("F17")
def test_f17_a_server_that_is_killed_midway_and_comes_back_has_everything_once(
    mlflow: RealMlflow,
    whole: Projection,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    record_property: Callable[[str, object], None],
) -> None:
    runtime = Runtime(workspace=tmp_path, tracking=mlflow.address)
    synced(runtime, "killed", whole)
    mlflow.stop()
    seconds = tell(runtime, whole, 5, "killed")
    assert seconds < tracker.PATIENCE
    assert capsys.readouterr().err.count("warning") == 1
    mlflow.start()
    found = held(synced(runtime, "killed", whole), whole)
    assert (found[0], set(found[2].values())) == (1, {1})
    record_property("figure", f"killed: {seconds:.1f} s")
