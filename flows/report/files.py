"""The report as a file: written when what it shows has changed, and left alone otherwise."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from flows.catalogue import read_noise
from flows.workspace import Opened
from rdpt_core.files.replacing import replacing
from rdpt_core.report.bundle import FORMAT, Bundle
from rdpt_core.tables import ids
from tasks.progress import brief, say

REPORTS = "reports"
"""Folder of the workspace."""
MARK = "<!-- inputs {} -->\n"
"""Last line of a page: the digest of what it was made from."""


def write(opened: Opened, bundle: Bundle | None = None) -> bytes:
    """The page, of what is gathered already where that is given. Same inputs give the same bytes.
    Raises Damaged where a part does not hold."""
    from flows.report.bundle import gather
    from rdpt_core.report.page import write_page

    return write_page(bundle or gather(opened)).encode() + MARK.format(inputs(opened)).encode()


def inputs(opened: Opened) -> str:
    """Digest of all that a page shows: settings, parts that exist, noise, and who draws it."""
    plan = opened.plan
    parts = [
        [part.table, part.key, part.content, part.seconds, part.made]
        for table in opened.study.tables()
        for part in plan.state(table).parts
    ]
    configurations = [[c.name, c.digest] for c in opened.study.configurations()]
    noise = [list(asdict(row).values()) for row in read_noise(opened.runtime)]
    settings = opened.experiment.model_dump_json()
    return ids.digest(
        "report", FORMAT, version("rdpt"), [settings, configurations, sorted(parts), noise]
    )


def default_path(opened: Opened) -> Path:
    return opened.runtime.workspace / REPORTS / f"{opened.experiment.name}.html"


def write_file(path: Path, page: bytes) -> None:
    """A reader finds the old page or the new one, never half of either."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, durable=False) as new:
        new.write_bytes(page)


def publish(folder: Path, page: bytes) -> Path:
    """Makes a folder that any static host serves as it is; returns its page. GitHub Pages would
    otherwise build a site of it first."""
    write_file(folder / ".nojekyll", b"")
    write_file(folder / "index.html", page)
    return folder / "index.html"


def is_current(path: Path, opened: Opened) -> bool:
    """True if the page at `path` shows what the store holds now."""
    mark = MARK.format(inputs(opened)).encode()
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - len(mark), 0))
            return file.read() == mark
    except OSError:
        return False


def update(opened: Opened, bundle: Bundle | None = None) -> Path | None:
    """Writes the workspace's page of an experiment where it shows less than the store holds; its
    path. A page that cannot be made is a warning: the run is as it is."""
    path = default_path(opened)
    try:
        if not is_current(path, opened):
            write_file(path, write(opened, bundle))
    except Exception as error:
        say(f"warning: the report could not be written: {brief(error)}")
        return None
    return path


def address(path: Path) -> str:
    return path.resolve().as_uri()
