"""The process that renders chat templates, as its users see it: started when it is first needed,
and again after a template had to be stopped."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import threading
from functools import lru_cache
from typing import Any

from rdpt_core.machine.children import start_python
from rdpt_core.models.rendering import template_worker
from rdpt_core.models.rendering.template_worker import MOST_BYTES, MOST_SECONDS

SILENCE_S = 120.0
"""Longest wait for an answer, in wall time; processor time is limited by the process itself."""


class TemplateRefused(ValueError):
    """The template itself raises: it takes no such conversation, or is no template."""


class TemplateFault(ValueError):
    """The template breaks, or needs more time or memory than it may have."""


@lru_cache(maxsize=256)
def render(source: str, values: str) -> str:
    """The text that a template makes of `values`, a JSON object of its variables.

    Raises TemplateRefused or TemplateFault, with the rule that was broken.
    """
    return str(_PROCESS.ask({"source": source, "values": json.loads(values)})["text"])


@lru_cache(maxsize=256)
def variables_of(source: str) -> tuple[frozenset[str], frozenset[str]]:
    """Names that a template may read from outside, and those of them that it sets itself; raises
    as `render` does."""
    answer = _PROCESS.ask({"source": source})
    return frozenset(answer["variables"]), frozenset(answer["own"])


class _Process:
    """One child for all templates; requests are answered one after the other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            line = self._asked(json.dumps(request).encode() + b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "refused" in answer:
            raise TemplateRefused(answer["refused"])
        if "fault" in answer:
            raise TemplateFault(answer["fault"])
        return answer

    def _asked(self, line: bytes) -> bytes:
        # What LD_PRELOAD names would count as its memory.
        child = self._child = self._child or start_python(template_worker.__file__, preload=False)
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(line)
            child.stdin.flush()
            ready, _, _ = select.select([child.stdout], [], [], SILENCE_S)
            found = child.stdout.readline() if ready else b""
        except BrokenPipeError:
            found = b""
        except BaseException:  # interrupted: its answer must not be taken for the next one
            self.stop()
            raise
        if not found.endswith(b"\n"):
            raise TemplateFault(_why(self.stop()))
        return found

    def stop(self) -> int:
        """Ends the child, if there is one; how it ended, as `Popen.returncode` tells it."""
        child, self._child = self._child, None
        if child is None:
            return 0
        child.kill()
        child.communicate()
        return int(child.returncode)


def _why(code: int) -> str:
    if code == -signal.SIGXCPU:
        return f"takes more than {MOST_SECONDS} s to render, which is the limit"
    return (
        f"ended the process that renders it (code {code}); it may use {MOST_SECONDS} s and "
        f"{MOST_BYTES / 2**30:.0f} GB"
    )


_PROCESS = _Process()


def _forget() -> None:
    """A forked process must not share its parent's child."""
    global _PROCESS
    _PROCESS = _Process()


os.register_at_fork(after_in_child=_forget)
atexit.register(lambda: _PROCESS.stop())
