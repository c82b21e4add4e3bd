"""`rdpt version`."""

from __future__ import annotations

import sys

from flows.commands.verb import Verb
from rdpt_core import __version__


class Version(Verb):
    """Print the version.

    rdpt version
    """

    def act(self) -> int:
        sys.stdout.write(f"rdpt {__version__}\n")
        return 0
