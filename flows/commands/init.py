"""`rdpt init`: a commented experiment file to fill in."""

from __future__ import annotations

import sys
from pathlib import Path

from flows.commands.verb import STANDARD
from settings.loading import BadSettings, parse_experiment
from settings.shipped import template
from tasks.progress import say


def init(case: str, output: str) -> int:
    """Never over a file that is there. The experiment is named after the file."""
    if output == STANDARD:
        sys.stdout.write(template(case, case))
        return 0
    path = Path(output)
    text = template(case, path.stem)
    parse_experiment(text, path)  # a name that no experiment may have is refused here
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        lines = [f"{path} is there already, and stays as it is: name another file with -o"]
        raise BadSettings("init", lines) from None
    except OSError as error:
        raise BadSettings("init", [f"{path} cannot be written: {error.strerror}"]) from error
    say(f"{path}: replace what is marked with <-, then: rdpt plan {path}")
    return 0
