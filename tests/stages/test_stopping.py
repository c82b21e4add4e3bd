"""Ctrl-C: who hears it, and what is left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tasks import stopping

MASK = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"


def child_is_spared() -> bool:
    done = subprocess.run([sys.executable, "-c", MASK], capture_output=True, text=True, check=True)
    return done.stdout == "True\n"


@pytest.mark.fault("F27")
def test_a_child_of_the_block_does_not_hear_ctrl_c_and_a_later_one_does() -> None:
    with stopping.sparing_children():
        assert child_is_spared()
    assert not child_is_spared()


@pytest.fixture
def pythons_own_handler() -> Iterator[None]:
    """A run begins with it; a test before may have left that of a run that it stopped."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.fault("F27")
@pytest.mark.usefixtures("pythons_own_handler")
def test_a_run_still_hears_ctrl_c_while_its_server_starts() -> None:
    def interrupted() -> None:
        with stopping.sparing_children():
            subprocess.run(["kill", "-INT", str(os.getpid())], check=True)
            time.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        interrupted()


def test_listening_ends_the_block_for_what_the_run_starts_itself() -> None:
    before = [signal.getsignal(number) for number in stopping.EXIT]
    try:
        with stopping.sparing_children():
            stopping.listen()
            assert not child_is_spared()
    finally:
        for number, handler in zip(stopping.EXIT, before, strict=True):
            signal.signal(number, handler)


ENDS = """
import subprocess, sys
from tasks import stopping
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
stopping.end_children()
print(child.wait(20))
"""


@pytest.mark.fault("F07")
def test_children_are_ended_with_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, check=True)
    assert int(done.stdout) == -signal.SIGTERM
