"""What a killed run leaves in Prefect: a server of nobody, and a flow run that seems to go on.

Both name the process that they belong to, by host, pid and start time, since a pid comes again:
the server in its environment, the flow run in its labels.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psutil

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import State

STARTED_BY = "PREFECT_STARTED_BY_RDPT"
LABEL = "rdpt.process"
SERVER = "prefect.server.api.server:create_app"
"""In the command line of the server that Prefect starts for a run."""


@cache
def _of_process(pid: int) -> str:
    return f"{socket.gethostname()} {pid} {psutil.Process(pid).create_time():.2f}"


def this_process() -> str:
    return _of_process(os.getpid())


def is_gone(process: str) -> bool:
    """True if a process of this host has ended; of another host nothing is known."""
    host, pid, begun = process.rsplit(" ", 2)
    if host != socket.gethostname():
        return False
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" != begun
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def end_servers(home: Path) -> None:
    """Ends servers over this home that were started for runs which are gone."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if SERVER not in process.cmdline():
                continue
            variables = process.environ()
            owner = variables.get(STARTED_BY)
            if owner and variables.get("PREFECT_HOME") == str(home) and is_gone(owner):
                process.terminate()


def end_flow_runs(client: SyncPrefectClient, own: UUID) -> None:
    """Marks runs as crashed whose process is gone, and labels this one with its process."""
    from prefect.client.schemas import filters, objects
    from prefect.states import Crashed

    client.update_flow_run_labels(own, {LABEL: this_process()})
    running = filters.FlowRunFilterStateType(any_=[objects.StateType.RUNNING])
    for run in client.read_flow_runs(
        flow_run_filter=filters.FlowRunFilter(state=filters.FlowRunFilterState(type=running))
    ):
        owner = run.labels.get(LABEL)
        if isinstance(owner, str) and is_gone(owner):
            state: State[Any] = Crashed(message=f"its process was killed ({owner})")
            client.set_flow_run_state(run.id, state, force=True)
