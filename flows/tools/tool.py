"""What the tools share."""

from __future__ import annotations

from rdpt_core.text.delimiters import Delimiters, named_delimiters
from settings.loading import BadSettings


def read_delimiters(delimiters: str) -> Delimiters:
    try:
        return named_delimiters(delimiters)
    except ValueError as error:
        raise BadSettings("--delimiters", [str(error)]) from error
