"""Processes of ours that compute, and may be killed.

Ours, since pebble (5.2) and loky (3.7) start their workers with all of the parent's variables, and
what sets others once Python runs comes too late for the seed of its hashes. Nor does a worker of
pebble's end that is busy when its parent is killed; and loky loses all its workers with one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rdpt_core.machine.environment import worker_environment


def start_python(
    *arguments: str,
    stdin: int = subprocess.PIPE,
    stderr: int = subprocess.DEVNULL,
    cwd: Path | None = None,
    preload: bool = True,
) -> subprocess.Popen[bytes]:
    """`python -P` with these arguments, which keeps the working directory out of its imports.

    Its environment is built from a list, without LD_PRELOAD where not `preload`; its session is its
    own, so that Ctrl-C reaches the parent alone.
    """
    environment = worker_environment()
    if not preload:
        environment.pop("LD_PRELOAD", None)
    return subprocess.Popen(
        [sys.executable, "-P", *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        cwd=cwd,
        env=environment,
        start_new_session=True,
    )
