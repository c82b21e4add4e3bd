"""What a check of `rdpt doctor` finds, and what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from flows import errors
from rdpt_core.report.terminal import printable


class State(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    state: State
    what: str
    found: str
    advice: str = ""


def print_findings(findings: Iterable[Finding], width: int = 22) -> int:
    """One line for each to stdout as it is found, and what to do about it; 2 where one fails."""
    code = 0
    for finding in findings:
        sys.stdout.write(f"{finding.state:<5} {finding.what:<{width}} {printable(finding.found)}\n")
        if finding.advice:
            sys.stdout.write(f"{'':5} {'':{width}} -> {printable(finding.advice)}\n")
        sys.stdout.flush()
        code = errors.USAGE if finding.state is State.FAIL else code
    return code
