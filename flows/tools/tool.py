"""What the tools share: their arguments, and a text as a trace of which nothing else is known."""

from __future__ import annotations

from pydantic import AliasChoices, Field
from pydantic_settings import CliPositionalArg

from flows.commands.verb import Verb
from rdpt_core.text.delimiters import Delimiters, named_delimiters
from settings.loading import BadSettings

FORMATS = ".jsonl, .csv or .parquet; - for JSONL on standard"


class Tool(Verb):
    """A file in, a file out."""

    file: CliPositionalArg[str] = Field(description=f"input: {FORMATS} input")
    output: str = Field(
        validation_alias=AliasChoices("o", "output"), description=f"output: {FORMATS} output"
    )


def read_delimiters(delimiters: str) -> Delimiters:
    try:
        return named_delimiters(delimiters)
    except ValueError as error:
        raise BadSettings("--delimiters", [str(error)]) from error
