"""`rdpt report`: an experiment as one HTML page that opens from disk."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path

from flows.report import write
from flows.report.files import address, default_path, publish, write_file
from flows.runtime import read_runtime
from flows.workspace import open_asked
from rdpt_core.files.records import BadTable
from settings.loading import BadSettings
from tasks.progress import say

STDOUT = "-"


def figures(file: str, folder: str, writes_page: bool) -> int:
    """Writes the figures and prints how many. Raises BadSettings, BadTable."""
    if writes_page:
        lines = ["--figures writes no page: leave out -o, --open and --publish, or --figures"]
        raise BadSettings("report", lines)
    opened = open_asked(file, read_runtime())
    from flows.report.bundle import gather
    from rdpt_core.report.figures.every import write_figures  # brings matplotlib

    try:
        files = write_figures(gather(opened), Path(folder))
    except OSError as error:
        place = error.filename or folder
        raise BadTable(f"{place}: cannot be written: {error.strerror}") from error
    print(f"{folder}: {len(files)} files")
    return 0


def report(file: str, out: str, opens: bool, folder: str) -> int:
    """Writes the page and prints its address. Raises BadSettings, BadTable."""
    if out and folder:
        raise BadSettings("report", ["-o and --publish exclude each other: leave one of them out"])
    if out == STDOUT and opens:
        raise BadSettings("report", ["--open needs a file: give -o another name, or leave it out"])
    opened = open_asked(file, read_runtime())
    page = write(opened)
    if out == STDOUT:
        sys.stdout.buffer.write(page)
        return 0
    path = _written(Path(out) if out else default_path(opened), folder, page)
    print(address(path))
    if opens and not webbrowser.open(address(path)):
        say("warning: no browser could be opened: open the address above in yours")
    return 0


def _written(path: Path, folder: str, page: bytes) -> Path:
    try:
        if folder:
            return publish(Path(folder), page)
        write_file(path, page)
    except OSError as error:
        place = error.filename or folder or path
        raise BadTable(f"{place}: cannot be written: {error.strerror}") from error
    return path
