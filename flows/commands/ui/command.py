"""`rdpt ui`."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from flows import errors
from flows.commands.ui.servers import (
    GRACE_SECONDS,
    LocalServer,
    answers,
    listens,
    mlflow_server,
    password_file,
    prefect_server,
)
from flows.commands.ui.start_page import open_page, start_page
from flows.runtime import read_runtime
from settings.loading import BadSettings
from settings.runtime import Runtime
from tasks.artifacts import rehome
from tasks.progress import say
from tasks.tracking.abandoned import end_abandoned
from tasks.tracking.addresses import WORKFLOW, served_at, server_of, view_page
from tasks.tracking.listing import experiments_of

START_SECONDS = 300.0
"""The first start of both creates two databases."""
CLIENT_SETTINGS = ("PREFECT_API_URL", "PREFECT_PROFILE")


def serve(mlflow_port: int, prefect_port: int) -> int:
    """Until Ctrl-C (0) or SIGTERM, or until one of them ends by itself (5)."""
    runtime = read_runtime()
    password = password_file(runtime.workspace / "prefect")
    servers = [prefect_server(runtime, prefect_port, password)]
    serving = ExitStack()
    if _is_local(runtime):
        servers.insert(0, mlflow_server(runtime, mlflow_port))
    require_free(servers)
    if _is_local(runtime):
        rehome(runtime)
        end_abandoned(runtime)
        serving.enter_context(served_at(runtime.workspace, mlflow_port))
    with serving:
        return watch(servers, logs_of(runtime), lambda: greet(runtime, servers, password))


def logs_of(runtime: Runtime) -> Path:
    folder = runtime.workspace / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _is_local(runtime: Runtime) -> bool:
    return runtime.tracking_uri.startswith("sqlite:")


def greet(runtime: Runtime, servers: Sequence[LocalServer], password: Path) -> None:
    """Where everything is, once it is there, also with --quiet: a server without an address is of
    no use. Opens the reports."""
    tell = partial(say, urgent=True)
    results: dict[str, tuple[str, str]] = {}
    server = server_of(runtime)
    tell(f"MLflow   {server}/#/experiments?{WORKFLOW}")
    for one in experiments_of(runtime):
        page = view_page(server, one.experiment_id, "comparison")
        results[one.name] = (one.result, page)
        tell(f"  {one.name}: {one.result}: {page}")
    prefect = servers[-1].address
    tell(
        f"Prefect  {prefect} asks for a password, the line in {password}; runs are shown "
        f"there that are started with PREFECT_API_URL={prefect}/api and "
        f"PREFECT_API_AUTH_STRING=$(cat {password})"
    )
    tell(f"logs of the servers: {logs_of(runtime)}/ui-*.log; Ctrl-C ends them")
    page_path = start_page(runtime.workspace, results)
    if page_path is not None:
        opened = "opened" if open_page(page_path) else "open in a browser"
        tell(f"reports  {page_path.resolve().as_uri()} ({opened})")


def require_free(servers: Sequence[LocalServer]) -> None:
    """Raises BadSettings for a port in use, with the option that chooses another."""
    lines = [
        f"port {server.port} is in use: choose another with --{server.name.lower()}-port"
        for server in servers
        if listens(server.port)
    ]
    if lines:
        raise BadSettings("ui", lines)


def watch(servers: Sequence[LocalServer], logs: Path, greeting: Callable[[], None]) -> int:
    """Starts the servers, greets when they answer, and waits; none outlives this function."""
    # Groups of their own: Ctrl-C comes to us alone, and we stop their workers with them.
    signal.signal(signal.SIGTERM, _terminate)
    children: list[subprocess.Popen[bytes]] = []
    try:
        children += [_started(server, log_of(server, logs)) for server in servers]
        waiting, begun = list(servers), time.monotonic()
        while all(child.poll() is None for child in children):
            if waiting:
                waiting = [server for server in waiting if not answers(server)]
                if not waiting:
                    greeting()
                elif time.monotonic() - begun > START_SECONDS:
                    names = " and ".join(server.name for server in waiting)
                    say(f"{names} did not answer in {START_SECONDS:.0f} s: see {logs}/ui-*.log")
                    return errors.SERVICE
            time.sleep(0.2)
        for server, child in zip(servers, children, strict=True):
            if child.returncode is not None:
                where = log_of(server, logs)
                code = child.returncode
                say(f"{server.name} ended by itself, with code {code}: see {where}", urgent=True)
        return errors.SERVICE
    except KeyboardInterrupt:
        return 0
    finally:
        _stop(children)


def _started(server: LocalServer, log: Path) -> subprocess.Popen[bytes]:
    # Settings of clients would send a server to another one.
    ours = {k: v for k, v in os.environ.items() if k not in CLIENT_SETTINGS}
    with log.open("wb") as file:
        return subprocess.Popen(
            server.command,
            env={**ours, **server.environment},
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def log_of(server: LocalServer, logs: Path) -> Path:
    return logs / f"ui-{server.name.lower()}.log"


def _terminate(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _stop(children: Sequence[subprocess.Popen[bytes]]) -> None:
    for child in children:
        _signal(child, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    for child in children:
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _signal(child, signal.SIGKILL)
            child.wait()


def _signal(child: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return
