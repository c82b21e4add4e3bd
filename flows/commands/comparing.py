"""Verbs that look at an experiment's results, or carry them elsewhere."""

from __future__ import annotations

from pydantic import AliasChoices, Field
from pydantic_settings import CliPositionalArg, CliToggleFlag

from flows.commands.verb import Verb

FILE = "a name that `rdpt runs` lists, a TOML file, or a shipped experiment's name"


class Compare(Verb):
    """Configurations side by side: accuracy, provenance, tokens, seconds, and their differences.

    rdpt compare pocket              tables, and the address of MLflow's comparison
    rdpt compare pocket > all.tsv    the numbers behind them, tab-separated
    """

    file: CliPositionalArg[str] = Field(description=FILE)

    def act(self) -> int:
        from flows import comparing

        return comparing.compare(self.file)


class Export(Verb):
    """Write a table, the whole experiment, or the selected traces for other trainers.

    rdpt export pocket results -o results.csv     or .parquet, .jsonl, -
    rdpt export pocket provenance --configuration random -o labels.parquet
    rdpt export pocket -o pocket.duckdb           everything, for DuckDB >= 1.4
    rdpt export pocket -o pocket.duckdb --tokens  with per-token numbers
    rdpt export pocket --selection --configuration teacher_count -o train.jsonl
    """

    file: CliPositionalArg[str] = Field(description=FILE)
    table: CliPositionalArg[str] = Field(
        default="", description="a table of docs/design.md section 4; none with .duckdb"
    )
    out: str = Field(
        default="", validation_alias=AliasChoices("o", "out"), description="the file to write"
    )
    configuration: str = Field(
        default="", description="only rows of this configuration, with their side and role"
    )
    selection: CliToggleFlag[bool] = Field(
        default=False, description="the picks as rows of `messages` (TRL, LLaMA-Factory, axolotl)"
    )
    tokens: CliToggleFlag[bool] = Field(
        default=False, description="include per-token tables in a .duckdb file"
    )

    def act(self) -> int:
        from flows import export

        return export.export(
            self.file, self.table, self.out, self.configuration, self.selection, self.tokens
        )


class Show(Verb):
    """A trace in the terminal: each sentence with its label and its probabilities.

    rdpt show 3f2a                   the trace whose id begins so, in the last run
    rdpt show 3f2a pocket --configuration random
    NO_COLOR=1 rdpt show 3f2a        letters alone
    """

    trace_id: CliPositionalArg[str] = Field(description="the beginning of an id suffices")
    file: CliPositionalArg[str] = Field(default="", description=f"{FILE}; else the last run")
    configuration: str = Field(
        default="", description="whose labels, where several label the trace differently"
    )

    def act(self) -> int:
        from flows import show

        return show.show(self.trace_id, self.file, self.configuration)
