"""Stopping on SIGINT and SIGTERM: workers end at their next batch, and no finished work is lost.

The signal only sets a flag. Workers run in threads, where an exception from a signal handler would
not arrive; they check the flag whenever they report progress.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import psutil

EXIT = {signal.SIGINT: 130, signal.SIGTERM: 143}
_arrived: list[int] = []


class Stopped(Exception):
    """A signal stopped the run; finished work is kept."""

    def __init__(self, number: int) -> None:
        super().__init__("stopped")
        self.code = EXIT[signal.Signals(number)]


def listen() -> None:
    """Handles both signals. A second one ends the process at once. Only the main thread can do
    this; in another thread (of a Prefect worker), the process that runs it stops it."""
    _arrived.clear()
    if threading.current_thread() is not threading.main_thread():
        return
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    for number in EXIT:
        signal.signal(number, _arrive)


@contextmanager
def sparing_children() -> Iterator[None]:
    """A terminal sends Ctrl-C to all its processes. Those that are started in this block, up to
    `listen`, do not hear it: Prefect's server must outlive the run that it is told of. The run
    itself does, by a thread that is older than the block."""
    over = threading.Event()
    threading.Thread(target=over.wait, name="hears Ctrl-C", daemon=True).start()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which children inherit
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        over.set()


def end_children() -> None:
    """Before this process ends in a way that leaves them nobody to end them."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            child.terminate()


def check() -> None:
    """Raises Stopped once a signal has arrived."""
    if (stopped := asked()) is not None:
        raise stopped


def asked() -> Stopped | None:
    """The stop that a signal has asked for; None while none has."""
    return Stopped(_arrived[0]) if _arrived else None


def ask(number: int = signal.SIGTERM) -> None:
    """Stops this process as a signal would."""
    _arrived.append(number)


def _arrive(number: int, frame: FrameType | None) -> None:
    _arrived.append(number)
    if len(_arrived) > 1:
        end_children()
        os._exit(EXIT[signal.Signals(number)])
