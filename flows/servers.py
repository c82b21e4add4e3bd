"""MLflow and Prefect on this machine's loopback address, as child processes of `rdpt ui`.

MLflow refuses foreign Host and Origin headers by itself. Prefect's server accepts any unless it is
told otherwise, so it gets CSRF protection, a list of origins, a password of the workspace's own,
and a guard in front (`guard.py`).
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows import faults
from flows.verbs import runtime_of
from settings.loading import BadSettings
from settings.runtime import Runtime
from tasks.artifacts import FOLDER, rehome
from tasks.progress import say

HOST = "127.0.0.1"
GRACE_SECONDS = 10.0
PASSWORD = "password"
COMPLETE = re.compile(rb"[^\s:]+:\S{8,}\n?")


@dataclass(frozen=True)
class Server:
    name: str
    port: int
    command: Sequence[str]
    environment: Mapping[str, str]

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"


def serve(mlflow_port: int, prefect_port: int) -> int:
    """Until Ctrl-C (0) or SIGTERM, or until one of them ends by itself (5)."""
    runtime = runtime_of()
    password = password_file(runtime.workspace / "prefect")
    servers = [prefect_server(runtime, prefect_port, password)]
    if _is_local(runtime):
        rehome(runtime)
        servers.insert(0, mlflow_server(runtime, mlflow_port))
    require_free(servers)
    for server in servers:
        say(f"{server.name:<8} {server.address}")
    say(f"Prefect asks for the line in {password}; its UI shows runs that have it as")
    say(f"PREFECT_API_AUTH_STRING, and PREFECT_API_URL={servers[-1].address}/api")
    if not _is_local(runtime):
        say("MLflow is served elsewhere: see RDPT_TRACKING")
    return watch(servers)


def _is_local(runtime: Runtime) -> bool:
    return runtime.tracking_uri.startswith("sqlite:")


def mlflow_server(runtime: Runtime, port: int) -> Server:
    artifacts = (runtime.workspace / FOLDER).resolve()
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)),
        *("--backend-store-uri", runtime.tracking_uri, "--workers", "1"),
        *("--artifacts-destination", str(artifacts)),
        *("--uvicorn-opts", "--log-level warning"),  # else a line for every request
    ]
    return Server(
        "MLflow",
        port,
        command,
        {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            "DO_NOT_TRACK": "1",
        },
    )


def prefect_server(runtime: Runtime, port: int, password: Path) -> Server:
    command = [
        *(sys.executable, "-m", "uvicorn", "--factory", "flows.guard:prefect_app"),
        *("--host", HOST, "--port", str(port), "--log-level", "warning"),
    ]
    return Server(
        "Prefect",
        port,
        command,
        {
            "PREFECT_HOME": str((runtime.workspace / "prefect").resolve()),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_API_HOST": HOST,
            "PREFECT_SERVER_API_PORT": str(port),
            "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
            "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": f"http://{HOST}:{port},http://localhost:{port}",
            # In the environment, since arguments are seen by every user of the machine.
            "PREFECT_SERVER_API_AUTH_STRING": password.read_text().strip(),
            "PREFECT_API_AUTH_STRING": password.read_text().strip(),
        },
    )


def password_file(folder: Path) -> Path:
    """`user:password` of this workspace's Prefect, made once, readable by its owner alone."""
    path = folder / PASSWORD
    folder.mkdir(parents=True, exist_ok=True)
    # An empty one would let everybody in.
    if not path.exists() or not COMPLETE.fullmatch(path.read_bytes()):
        beside = path.with_name(f".{PASSWORD}.{os.getpid()}.tmp")
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"rdpt:{secrets.token_urlsafe(18)}\n")
        beside.rename(path)
    if path.stat().st_mode & 0o077:
        say(f"warning: {path} can be read by other users: chmod 600 {path}")
    return path


def require_free(servers: Sequence[Server]) -> None:
    """Before anything starts, with the flag that helps."""
    lines = [
        f"port {server.port} is in use: choose another with --{server.name.lower()}-port"
        for server in servers
        if listens(server.port)
    ]
    if lines:
        raise BadSettings("rdpt ui", lines)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def watch(servers: Sequence[Server]) -> int:
    """Starts them and waits; none of them outlives this function."""
    # Groups of their own: Ctrl-C comes to us alone, and we stop their workers with them.
    signal.signal(signal.SIGTERM, _terminate)
    children: list[subprocess.Popen[bytes]] = []
    try:
        for server in servers:
            environment = {**_inherited(), **server.environment}
            children.append(
                subprocess.Popen(server.command, env=environment, start_new_session=True)
            )
        while all(child.poll() is None for child in children):
            time.sleep(0.2)
        for server, child in zip(servers, children, strict=True):
            if child.returncode is not None:
                say(f"{server.name} ended by itself, with code {child.returncode}")
        return faults.SERVICE
    except KeyboardInterrupt:
        return 0
    finally:
        _stop(children)


def _terminate(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _inherited() -> dict[str, str]:
    """Without settings of clients, which would send a server to another one."""
    return {k: v for k, v in os.environ.items() if k not in ("PREFECT_API_URL", "PREFECT_PROFILE")}


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
