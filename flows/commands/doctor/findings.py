"""What a check of `rdpt doctor` finds, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum

from rich.table import Table
from rich.text import Text

from flows import errors
from flows.commands.documents import print_json
from rdpt_core.report.terminal import Terminal, terminal_width
from rdpt_core.text.printable import printable


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}
STATE_WIDTH = 5


@dataclass(frozen=True, slots=True)
class Finding:
    state: Level
    what: str
    found: str
    advice: str = ""


def print_findings(findings: Iterable[Finding], as_json: bool, width: int = 22) -> int:
    """Each to stdout as it is found, and what to do about it; 2 where one fails."""
    if as_json:
        found = list(findings)
        print_json({"findings": [{**asdict(one), "advice": one.advice or None} for one in found]})
        return max(map(_code, found), default=0)
    return max([_print(finding, width) for finding in findings], default=0)


def _code(finding: Finding) -> int:
    return errors.USAGE if finding.state is Level.FAIL else 0


def _print(finding: Finding, width: int) -> int:
    """On a terminal long lines are wrapped below their beginning."""
    terminal = Terminal()
    if terminal_width() is None:
        for state, what, found in _rows(finding):
            terminal.print(f"{state.plain:<{STATE_WIDTH}} {what:<{width}} {found}")
        return _code(finding)
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=STATE_WIDTH)
    table.add_column(width=width)
    table.add_column(overflow="fold")
    for state, what, found in _rows(finding):
        table.add_row(state, Text(what), Text(found))
    terminal.print(table, soft_wrap=False)
    return _code(finding)


def _rows(finding: Finding) -> Iterable[tuple[Text, str, str]]:
    yield Text(finding.state, STYLES[finding.state]), finding.what, printable(finding.found)
    if finding.advice:
        yield Text(), "", f"-> {printable(finding.advice)}"
