"""What the tools share: their arguments, and a text as a trace of which nothing else is known."""

from __future__ import annotations

from pydantic import AliasChoices, Field
from pydantic_settings import CliPositionalArg

from flows.commands.verb import Verb
from rdpt_core.tables.rows import FinishReason, Trace
from rdpt_core.text.delimiters import Delimiters, named_delimiters
from settings.loading import BadSettings

FORMATS = ".jsonl, .csv or .parquet; - is standard"


class Tool(Verb):
    """A file in, a file out."""

    file: CliPositionalArg[str] = Field(description=f"{FORMATS} input as JSONL")
    output: str = Field(
        validation_alias=AliasChoices("o", "output"), description=f"{FORMATS} output as JSONL"
    )


def read_delimiters(delimiters: str) -> Delimiters:
    try:
        return named_delimiters(delimiters)
    except ValueError as error:
        raise BadSettings("--delimiters", [str(error)]) from error


def trace_of(trace_id: str, problem_id: str, text: str, tags: Delimiters) -> Trace:
    """A text of which nothing else is known; it is not known to have ended."""
    return Trace(
        trace_id=trace_id,
        problem_id=problem_id,
        author="",
        sample_index=0,
        text=text,
        zones=tags.zones(text),
        finish_reason=FinishReason.UNKNOWN,
        num_tokens=None,
        token_ids=None,
        logprobs=None,
        sampled_logprobs=None,
        seed=None,
        source_id=None,
    )
