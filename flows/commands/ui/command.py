"""`rdpt ui`."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence

from pydantic import Field

from flows import errors
from flows.commands.ui.servers import (
    GRACE_SECONDS,
    LocalServer,
    listens,
    mlflow_server,
    password_file,
    prefect_server,
)
from flows.commands.verb import Verb
from flows.runtime import read_runtime
from rdpt_core.defaults import MLFLOW_PORT, PREFECT_PORT
from settings.loading import BadSettings
from settings.runtime import Runtime
from tasks.artifacts import rehome
from tasks.progress import say

CLIENT_SETTINGS = ("PREFECT_API_URL", "PREFECT_PROFILE")


class Ui(Verb):
    """Serve MLflow and Prefect on this machine's loopback address, until interrupted.

    rdpt ui
    rdpt ui --mlflow-port 5001
    """

    mlflow_port: int = Field(default=MLFLOW_PORT, description="port of MLflow's server")
    prefect_port: int = Field(default=PREFECT_PORT, description="port of Prefect's server")

    def act(self) -> int:
        return serve(self.mlflow_port, self.prefect_port)


def serve(mlflow_port: int, prefect_port: int) -> int:
    """Until Ctrl-C (0) or SIGTERM, or until one of them ends by itself (5)."""
    runtime = read_runtime()
    password = password_file(runtime.workspace / "prefect")
    servers = [prefect_server(runtime, prefect_port, password)]
    if _is_local(runtime):
        rehome(runtime)
        servers.insert(0, mlflow_server(runtime, mlflow_port))
    require_free(servers)
    for server in servers:
        say(f"{server.name:<8} {server.address}")
    say(f"Prefect asks for the password in {password}; its UI shows runs that get it as")
    say(f"PREFECT_API_AUTH_STRING, and PREFECT_API_URL={servers[-1].address}/api")
    if not _is_local(runtime):
        say("MLflow is served elsewhere: see RDPT_TRACKING")
    return watch(servers)


def _is_local(runtime: Runtime) -> bool:
    return runtime.tracking_uri.startswith("sqlite:")


def require_free(servers: Sequence[LocalServer]) -> None:
    """Raises BadSettings for a port in use, with the option that chooses another."""
    lines = [
        f"port {server.port} is in use: choose another with --{server.name.lower()}-port"
        for server in servers
        if listens(server.port)
    ]
    if lines:
        raise BadSettings("ui", lines)


def watch(servers: Sequence[LocalServer]) -> int:
    """Starts the servers and waits; none of them outlives this function."""
    # Groups of their own: Ctrl-C comes to us alone, and we stop their workers with them.
    signal.signal(signal.SIGTERM, _terminate)
    children: list[subprocess.Popen[bytes]] = []
    try:
        for server in servers:
            # Settings of clients would send a server to another one.
            ours = {k: v for k, v in os.environ.items() if k not in CLIENT_SETTINGS}
            environment = {**ours, **server.environment}
            children.append(
                subprocess.Popen(server.command, env=environment, start_new_session=True)
            )
        while all(child.poll() is None for child in children):
            time.sleep(0.2)
        for server, child in zip(servers, children, strict=True):
            if child.returncode is not None:
                say(f"{server.name} ended by itself, with code {child.returncode}")
        return errors.SERVICE
    except KeyboardInterrupt:
        return 0
    finally:
        _stop(children)


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
