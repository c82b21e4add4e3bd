"""MLflow and Prefect on this machine's loopback address, as child processes of `rdpt ui`.

MLflow refuses foreign Host and Origin headers by itself. Prefect's server accepts any unless it is
told otherwise, so it gets CSRF protection, a list of origins, a password of the workspace's own,
and a guard in front (`guard.py`).
"""

from __future__ import annotations

import base64
import re
import secrets
import socket
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rdpt_core.files.replacing import replacing
from settings.runtime import Runtime
from tasks.artifacts import FOLDER
from tasks.progress import say

HOST = "127.0.0.1"
GRACE_SECONDS = 10.0
PASSWORD = "password"
COMPLETE = re.compile(rb"[^\s:]+:\S{8,}\n?")


@dataclass(frozen=True)
class LocalServer:
    name: str
    port: int
    command: Sequence[str]
    environment: Mapping[str, str]
    health: str = "/health"
    """Answered with 200 as soon as the pages are."""

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"


def mlflow_server(runtime: Runtime, port: int) -> LocalServer:
    artifacts = (runtime.workspace / FOLDER).resolve()
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)),
        *("--backend-store-uri", runtime.tracking_uri, "--workers", "1"),
        *("--artifacts-destination", str(artifacts)),
        *("--uvicorn-opts", "--log-level warning"),  # else a line for every request
    ]
    return LocalServer(
        "MLflow",
        port,
        command,
        {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            "DO_NOT_TRACK": "1",
        },
    )


def prefect_server(runtime: Runtime, port: int, password: Path) -> LocalServer:
    command = [
        *(sys.executable, "-m", "uvicorn", "--factory", "flows.commands.ui.guard:prefect_app"),
        *("--host", HOST, "--port", str(port), "--log-level", "warning"),
    ]
    return LocalServer(
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
        "/api/ready",
    )


def password_file(folder: Path) -> Path:
    """`user:password` of this workspace's Prefect, created once, readable only by its owner."""
    path = folder / PASSWORD
    folder.mkdir(parents=True, exist_ok=True)
    # An empty one would let everybody in.
    if not path.exists() or not COMPLETE.fullmatch(path.read_bytes()):
        with replacing(path) as new:
            new.touch(0o600, exist_ok=False)  # before there is anything to read in it
            new.write_text(f"rdpt:{secrets.token_urlsafe(18)}\n")
    if path.stat().st_mode & 0o077:
        say(f"warning: {path} can be read by other users: chmod 600 {path}")
    return path


def answers(server: LocalServer) -> bool:
    """True as soon as a server answers."""
    request = urllib.request.Request(server.address + server.health)
    login = server.environment.get("PREFECT_API_AUTH_STRING")
    if login:
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=1) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0
