"""Hook of mkdocs: the reference is written from the code when the site is built.

Verbs show the help that a terminal shows, settings the notes under their fields, so no page can
say another default than the program has.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = "88"


def on_files(files: Any, config: Any) -> Any:
    from mkdocs.structure.files import File

    for name, text in pages().items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def pages() -> dict[str, str]:
    sys.path.insert(0, str(ROOT))
    try:
        return {"verbs": verbs(), "experiment": experiment(), "machine": machine()}
    finally:
        sys.path.remove(str(ROOT))


def verbs() -> str:
    from flows import errors

    (codes,) = re.findall(r"^\|.*\|$", errors.__doc__ or "", re.DOTALL | re.MULTILINE)
    opening = "# Verbs\n\nWhat `rdpt VERB --help` prints, and [how a command ends](#exit-codes).\n"
    return "\n".join([opening, *_verbs(), "## Exit codes", "", codes, ""])


def _verbs() -> Iterator[str]:
    from flows.cli import VERBS

    for name, verb in VERBS.items():
        yield f"## rdpt {name}\n\n{verb.description[:1].upper()}{verb.description[1:]}.\n"
        yield f"```text\n{help_of(name)}\n```\n"


def help_of(verb: str) -> str:
    from flows.cli import main

    shown, columns = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = COLUMNS
    try:
        with contextlib.redirect_stdout(shown):
            main([verb, "--help"])
    finally:
        del os.environ["COLUMNS"]
        if columns is not None:
            os.environ["COLUMNS"] = columns
    return shown.getvalue().rstrip()


def experiment() -> str:
    from docs.hooks.fields import sections
    from settings.experiment import Experiment

    opening = "# Experiment file\n\nEvery key of the TOML file that defines an experiment.\n\n"
    return opening + "\n".join(sections(Experiment, "Top level"))


def machine() -> str:
    from docs.hooks.fields import sections
    from settings.runtime import PREFIX, Runtime

    opening = (
        "# Settings of the machine\n\nSet these as environment variables or as lines of `.env`; "
        "none of them changes the identity of a table.\n\n"
    )
    return opening + "\n".join(sections(Runtime, "Variables", PREFIX))
