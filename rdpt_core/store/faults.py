"""Planted crashes: SIGKILL at a named point of a commit.

For tests of the promise that any process may be killed at any moment and nothing is lost.
"""

from __future__ import annotations

import os
import signal

from rdpt_core.store.parts import FaultPoint


def fault_point(fault: str | None) -> FaultPoint:
    """SIGKILL at `<table>:<point>:<n>`, the n-th time that it is reached; None never kills."""
    if fault is None:
        return lambda table, point: None
    wanted_table, wanted_point, number = fault.split(":")
    reached = 0

    def at(table: str, point: str) -> None:
        nonlocal reached
        if (table, point) == (wanted_table, wanted_point):
            reached += 1
            if reached == int(number):
                os.kill(os.getpid(), signal.SIGKILL)

    return at
