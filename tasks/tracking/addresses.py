"""Addresses of MLflow's pages; nothing is created there for a link.

All of them say `workflowType=machine_learning`: without it a browser that was never there opens the
pages for agents, which are empty.
"""

from __future__ import annotations

import socket
import sqlite3
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from rdpt_core.defaults import MLFLOW_PORT
from settings.runtime import Runtime
from tasks.tracking.connection import connect, probe, set_defaults, shown

T = TypeVar("T")

LINK_SECONDS = 10.0
"""Seconds that a command waits for the link to its results, if no run has logged to MLflow."""
PORT_SECONDS = 0.5
PORT_FILE = "mlflow.port"
"""In the workspace, while `rdpt ui` serves its MLflow."""
WORKFLOW = "workflowType=machine_learning"
_OPENED: dict[tuple[str, str], str | None] = {}
"""Address and name to the id of an experiment that this process logged; None if MLflow failed, so
that a run does not wait for it again to print a link."""


def remember(runtime: Runtime, experiment_name: str, identity: str | None) -> None:
    _OPENED[runtime.tracking_uri, experiment_name] = identity


def run_page(runtime: Runtime, experiment_id: str, run_id: str) -> str:
    return f"{server_of(runtime)}/#/experiments/{experiment_id}/runs/{run_id}?{WORKFLOW}"


def view_page(server: str, experiment_id: str, view: str) -> str:
    return f"{server}/#/experiments/{experiment_id}/runs?{WORKFLOW}&viewStateShareKey={view}"


def view_address(runtime: Runtime, experiment_name: str, view: str) -> str | None:
    """Address of a named view of an experiment; for a local file, the address of `rdpt ui`.

    None if MLflow is off, unreachable or lacks the experiment: nothing is created.
    """
    uri = runtime.tracking_uri
    if runtime.tracking == "off":
        return None
    place = uri, experiment_name
    identity = _OPENED[place] if place in _OPENED else _experiment_id(uri, experiment_name)
    return identity and view_page(server_of(runtime), identity, view)


def server_of(runtime: Runtime) -> str:
    """Address of the pages: of a local file, where `rdpt ui` serves it, or would by default."""
    uri = runtime.tracking_uri
    if uri.startswith(("http://", "https://")):
        return shown(uri).rstrip("/")
    return f"http://127.0.0.1:{_port(runtime.workspace / PORT_FILE) or MLFLOW_PORT}"


@contextmanager
def served_at(workspace: Path, port: int) -> Iterator[None]:
    """Tells other processes on which port the workspace's MLflow is served during the block."""
    path = workspace / PORT_FILE
    path.write_text(f"{port}\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _port(path: Path) -> int | None:
    """None where nobody listens any more: one that was killed leaves its file."""
    try:
        port = int(path.read_text())
        with socket.create_connection(("127.0.0.1", port), timeout=PORT_SECONDS):
            return port
    except (OSError, ValueError, OverflowError):
        return None


def _experiment_id(uri: str, name: str) -> str | None:
    if uri.startswith("sqlite:///"):
        return _id_in_file(Path(uri.removeprefix("sqlite:///")), name)
    _OPENED[uri, name] = _within(LINK_SECONDS, lambda: _id_at(uri, name))
    return _OPENED[uri, name]


def _within(seconds: float, ask: Callable[[], T]) -> T | None:
    """The result of `ask`, or None after `seconds`. Socket timeouts apply per read, so they do not
    limit a response that trickles in."""
    answers: list[T] = []
    asking = threading.Thread(target=lambda: answers.append(ask()), daemon=True)
    asking.start()
    asking.join(seconds)
    return answers[0] if answers else None


def _id_at(uri: str, name: str) -> str | None:
    try:
        probe(uri)
        set_defaults()
        found = connect(uri).get_experiment_by_name(name)
    except Exception:  # the results stand without a link
        return None
    return found.experiment_id if found else None


def _id_in_file(path: Path, name: str) -> str | None:
    """Experiment id from the database file: importing MLflow for one number takes seconds."""
    place = f"file:{urllib.parse.quote(str(path.absolute()))}?mode=ro"
    try:
        with closing(sqlite3.connect(place, timeout=1.0, uri=True)) as database:
            sql = "SELECT experiment_id FROM experiments WHERE name = ?"
            found = database.execute(sql, [name]).fetchone()
    except sqlite3.Error:  # the results stand without a link
        return None
    return str(found[0]) if found else None
