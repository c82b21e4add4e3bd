"""Every way a command can end, as an exit code and a few lines for the person who typed it.

| code | meaning |
|---|---|
| 0 | done |
| 1 | a stage failed; resumable |
| 2 | usage or configuration |
| 4 | a needed part is being built by another run, and `--no-wait` was given |
| 5 | an external service is unavailable |
| 6 | the workspace is damaged, or was written by a newer rdpt |
| 7 | disk or memory is exhausted |
| 130, 143 | SIGINT, SIGTERM |
| 141 | who read standard output wants no more (SIGPIPE) |
"""

from __future__ import annotations

import errno
import os
import sys
import traceback

from rdpt_core.files.records import BadTable
from rdpt_core.machine.resources import OutOfMemory, no_room
from rdpt_core.store.record import TooNew
from rdpt_core.tables.recipe import Unstable
from settings.loading import BadSettings
from tasks.progress import say
from tasks.stopping import Stopped
from tasks.worker import Busy

STAGE, USAGE, BUSY, SERVICE, TOO_NEW, RESOURCE = 1, 2, 4, 5, 6, 7
DAMAGED = TOO_NEW
INTERRUPTED, CLOSED = 130, 141


def code_of(error: BaseException) -> int:
    """The exit code that an error ends a command with."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, Stopped):
        return error.code
    if isinstance(error, BrokenPipeError):
        return CLOSED
    if isinstance(error, BadSettings | BadTable | Unstable):
        return USAGE
    if isinstance(error, Busy):
        return BUSY
    if isinstance(error, ConnectionError) and no_room(error) is None:  # also under MLflow's files
        return SERVICE
    if isinstance(error, TooNew):
        return TOO_NEW
    memory = isinstance(error, MemoryError | OutOfMemory)
    memory = memory or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
    return RESOURCE if memory or no_room(error) else STAGE


def explain(error: BaseException, verbose: bool = False) -> int:
    """Says on stderr what went wrong, at most 8 lines; a traceback only where asked for."""
    if isinstance(error, SystemExit):
        return int(error.code) if isinstance(error.code, int) else STAGE
    if verbose:
        say("".join(traceback.format_exception(error)), urgent=True)
    if isinstance(error, BrokenPipeError):
        # What is still buffered must not fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    code = code_of(error)
    for line in [] if code == CLOSED else _lines(error)[:8]:
        say(line, urgent=True)
    return code


def _lines(error: BaseException) -> list[str]:
    if isinstance(error, BadSettings):
        shown = [part for line in error.lines for part in line.splitlines()]
        shown = shown if len(shown) <= 7 else [*shown[:6], "..."]
        return [f"rdpt: {error.place}:", *(f"  {line}" for line in shown)]
    if isinstance(error, KeyboardInterrupt | Stopped):
        return ["rdpt: stopped: no part is half-written; `rdpt resume` resumes a run"]
    full = no_room(error)
    if full is not None:
        return [
            f"rdpt: {full}",
            "free some space, or set RDPT_WORKSPACE to another disk; then run the same command",
            "again: no part is half-written",
        ]
    return [f"rdpt: {line}" for line in str(error).splitlines() or [type(error).__name__]]
