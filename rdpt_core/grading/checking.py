"""A process that compares mathematical answers, and that an answer cannot outlive.

An answer is text that a model wrote: `9^{9^{9^9}}` or a megabyte of LaTeX keeps sympy busy for
ever, and math-verify's own time limit neither works in threads nor tells a timeout from a wrong
answer. So each comparison runs in a worker of ours. Before each one the worker arms the kernel's
timer, whose signal ends the process wherever it is, also when nobody is left to wait for it; the
next comparison gets a new worker.

This file is also the worker's program, and imports little of rdpt, so that it starts fast.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from rdpt_core.machine.children import start_python
from rdpt_core.machine.worker_errors import FAULT, fault_line, raised


class Checked(NamedTuple):
    """What math-verify says. `equal` is None where the gold answer cannot be read."""

    extracted: str | None
    equal: bool | None


class Check(NamedTuple):
    """Two expressions in LaTeX, without delimiters."""

    gold: str
    answer: str


class Checker:
    """One worker, started by the first question and again after each that it did not survive."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def check(self, questions: Sequence[Check], timeout: float) -> list[Checked | None]:
        """In order; None where there was no verdict within `timeout` seconds.

        A worker that dies of anything else (its memory, its stack) gets a second try.
        """
        checked: list[Checked | None] = []
        tried = -1
        while len(checked) < len(questions):
            checked += self._ask(_fitting(questions[len(checked) :]), timeout)
            if self._process is not None and self._process.poll() is None:
                continue
            if self._end() == -signal.SIGALRM or tried == len(checked):
                checked.append(None)
            else:
                tried = len(checked)
        return checked

    def _ask(self, questions: Sequence[Check], timeout: float) -> list[Checked]:
        """The replies up to the first question that the worker does not survive."""
        process = self._process or self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            for question in questions:
                process.stdin.write(json.dumps([*question, timeout]).encode() + b"\n")
            process.stdin.flush()
        replies = []
        for _ in questions:
            line = process.stdout.readline()
            if not line:
                process.wait()
                break
            replies.append(Checked(*json.loads(line)))
        return replies

    def _end(self) -> int | None:
        """How the worker ended; the next question gets a new one."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.kill()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(BrokenPipeError):  # questions that it did not read
                pipe.close()  # type: ignore[union-attr]
        return process.wait()

    def close(self) -> None:
        self._end()

    def _started(self) -> subprocess.Popen[bytes]:
        """It ends with its stdin."""
        self._process = process = start_python("-m", "rdpt_core.grading.checking")
        assert process.stdout is not None
        greeting = process.stdout.readline().strip()
        if greeting == READY:
            return process
        self._end()
        told = json.loads(greeting)[FAULT] if greeting else {"kind": "", "message": "no reply"}
        what = "the answer checker did not start"
        raise raised(told, what, f": try `{sys.executable} -c 'import math_verify'`")


READY = b"ready"


_PIPE_BYTES = 32_000
"""Less than a pipe holds, so that writing never waits for a worker that waits to write."""


def _fitting(questions: Sequence[Check]) -> Sequence[Check]:
    """The questions that fit into the pipe, at least one: a turn between the processes costs ten
    times the comparison on a busy machine."""
    size = 0
    for index, question in enumerate(questions):
        size += len(json.dumps(question)) + 64
        if size > _PIPE_BYTES:
            return questions[: max(1, index)]
    return questions


_idle: queue.SimpleQueue[Checker] = queue.SimpleQueue()


def check(questions: Sequence[Check], timeout: float) -> list[Checked | None]:
    """`Checker.check` by an idle worker of this process, or by a new one.

    Workers are kept between calls, since math-verify takes 1 to 3 s to import; there are as many
    as there ever were threads asking at once.
    """
    try:
        checker = _idle.get_nowait()
    except queue.Empty:
        checker = Checker()
    try:
        return checker.check(questions, timeout)
    finally:
        _idle.put(checker)


def _forget_workers() -> None:
    global _idle
    _idle = queue.SimpleQueue()


# A forked child must not talk into its parent's pipes.
os.register_at_fork(after_in_child=_forget_workers)


def _serve() -> None:
    """Answers each line `[gold, answer, timeout]` with a line `[extracted, equal]`."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not look like a reply
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    try:
        import math_verify  # noqa: F401
    except Exception as error:
        print(fault_line(error), file=replies, flush=True)
        return
    print(READY.decode(), file=replies, flush=True)
    for line in sys.stdin:
        gold, answer, timeout = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, timeout)
        reply = json.dumps(_compare(gold, answer))
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(reply, file=replies, flush=True)


def _compare(gold: str, answer: str) -> Checked:
    from math_verify import verify
    from sympy.core.random import seed

    seed(0)  # sympy tests equality at random points; a verdict must not depend on earlier ones
    found = _parsed(answer)
    if not found:
        return Checked(None, False)
    extracted = found[-1] if isinstance(found[-1], str) else str(found[0])
    wanted = _parsed(gold)
    if not wanted:
        return Checked(extracted, None)
    return Checked(extracted, bool(verify(wanted, found, timeout_seconds=None)))


@lru_cache(64)
def _parsed(expression: str) -> list[object]:
    """The expression and its text, the text alone, or nothing.

    In a box, since math-verify takes numbers out of a bare one: 3 and 4 of `(3, 4)`.
    """
    from math_verify import LatexExtractionConfig, parse

    boxed = f"\\boxed{{{expression}}}"
    return list(parse(boxed, [LatexExtractionConfig()], parsing_timeout=None))


if __name__ == "__main__":
    _serve()
