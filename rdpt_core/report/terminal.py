"""What reaches a terminal, and how: untrusted text as it is, never as markup or escape sequences.

What a model wrote is untrusted: no character of it reaches the terminal that could move the cursor,
change colours or reorder text. rich decides about colours (NO_COLOR, TERM, COLORTERM) and widths
(COLUMNS), and writes plain text where the output is not a terminal.
"""

from __future__ import annotations

import sys
from typing import IO

from rich.console import Console


class Terminal(Console):
    """A console that reads no markup and wraps no line by itself: a pipe gets lines unchanged."""

    def __init__(self, stderr: bool = False, file: IO[str] | None = None) -> None:
        super().__init__(
            stderr=stderr, file=file, markup=False, emoji=False, highlight=False, soft_wrap=True
        )

    def on_broken_pipe(self) -> None:
        """The command line has an exit code for it; rich would end the process with 1."""
        raise

    def show_cursor(self, show: bool = True) -> bool:
        """The cursor stays visible next to bars, so a run that is killed leaves no hidden one."""
        return False


def terminal_width() -> int | None:
    """Columns of the terminal that stdout goes to; None for a file or a pipe."""
    return Terminal().width if sys.stdout.isatty() else None
