"""Verbs that show what the workspace has."""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, Field
from pydantic_settings import CliPositionalArg, CliToggleFlag

from flows.commands.verb import EXPERIMENT_HELP, Answer, WorkspaceVerb


class Runs(Answer):
    """List the experiments of the workspace, each with the number of its complete tables.

    rdpt runs
    rdpt runs --workspace elsewhere
    """

    def act(self) -> int:
        from flows.commands.runs import runs

        return runs(self.as_json)


class Status(Answer):
    """Show the progress of active runs: tables and parts done, rate, time left.

    rdpt status                      all experiments of the workspace
    rdpt status pocket
    watch -n 5 rdpt status           every 5 seconds
    """

    file: CliPositionalArg[str] = Field(default="", description=f"{EXPERIMENT_HELP} (default: all)")

    def act(self) -> int:
        from flows.commands.status import status

        return status(self.file, self.as_json)


class Compare(Answer):
    """Compare configurations: accuracy, provenance, tokens, seconds, and their differences.

    rdpt compare pocket              tables, and a link to MLflow
    rdpt compare pocket > all.tsv    all their numbers, tab-separated
    rdpt compare pocket --json       the same as JSON
    """

    file: CliPositionalArg[str] = Field(description=EXPERIMENT_HELP)

    def act(self) -> int:
        from flows.commands.compare import compare

        return compare(self.file, self.as_json)


class Show(Answer):
    """Show a trace, each sentence with its label and its probabilities.

    rdpt show                        the most telling trace of the last run
    rdpt show 3f2a                   a trace by its id
    rdpt show 3f2a pocket --configuration random
    NO_COLOR=1 rdpt show 3f2a        labels as letters only
    """

    trace_id: CliPositionalArg[str] = Field(
        default="",
        description="id of a trace, or its first characters "
        "(default: the trace with the largest teacher advantage)",
    )
    file: CliPositionalArg[str] = Field(
        default="", description=f"{EXPERIMENT_HELP} (default: the last run)"
    )
    configuration: str = Field(
        default="", description="configuration whose labels are shown, if several differ"
    )

    def act(self) -> int:
        from flows.commands.show import show

        return show(self.trace_id, self.file, self.configuration, self.as_json)


class Report(WorkspaceVerb):
    """Write the report of an experiment: one page with its results, curves and coloured traces.

    rdpt report                      the last run, into the workspace
    rdpt report pocket --open        open it in the browser
    rdpt report pocket -o pocket.html
    rdpt report --publish site       a folder that any static host serves
    rdpt report --figures figures    every figure as SVG, PDF and PNG, for a paper
    """

    file: CliPositionalArg[str] = Field(
        default="", description=f"{EXPERIMENT_HELP} (default: the last run)"
    )
    output: str = Field(
        default="",
        validation_alias=AliasChoices("o", "output", "out"),
        description="output: an HTML file, or - (default: reports/NAME.html of the workspace)",
    )
    open: CliToggleFlag[bool] = Field(default=False, description="open it in the browser")
    publish: str = Field(
        default="", description="folder for a static host: gets index.html and .nojekyll"
    )
    figures: str = Field(
        default="",
        description="folder for every figure as SVG, PDF and PNG, instead of the page: in the "
        "width of one column of a paper (3.3 in) and, as -wide, of two (6.8 in)",
    )

    def act(self) -> int:
        from flows.commands.report import figures, report

        if self.figures:
            return figures(self.file, self.figures, bool(self.output or self.publish or self.open))
        return report(self.file, self.output, self.open, self.publish)


class LineageOf(Answer):
    """Trace an evaluated answer back to the selected traces that trained its student.

    rdpt lineage a8c3                       the traces, their labels and candidates
    rdpt lineage a8c3 --sentence 22         training sentences with similar words
    rdpt lineage a8c3 pocket --json

    Similar words are no cause: which trace taught a sentence is unknown.
    """

    trace_id: CliPositionalArg[str] = Field(description="id of an answer, or its first characters")
    file: CliPositionalArg[str] = Field(
        default="", description=f"{EXPERIMENT_HELP} (default: the last run)"
    )
    sentence: int | None = Field(
        default=None, ge=1, description="number of a sentence, as `rdpt show` counts them"
    )
    configuration: str = Field(
        default="", description="configuration whose student is meant, if several gave the answer"
    )

    def act(self) -> int:
        from flows.commands.lineage import print_lineage

        return print_lineage(
            self.trace_id, self.file, self.sentence, self.configuration, self.as_json
        )


class Sql(Answer):
    """Query the catalogue in SQL, read-only. Without a query, start a prompt.

    rdpt sql "SELECT name, teacher, selector FROM configurations"
    rdpt sql "FROM results" --json -o results.json
    rdpt sql "SHOW ALL TABLES"       tables and their columns
    rdpt sql < query.sql             a file of statements
    """

    query: CliPositionalArg[str] = Field(default="", description="one SQL statement or several")
    format: Literal["table", "csv", "json"] | None = Field(
        default=None, description="output format (default: table on a terminal, otherwise csv)"
    )

    def act(self) -> int:
        from flows.commands.sql import sql

        return sql(self.query, "json" if self.as_json else self.format)


class Export(WorkspaceVerb):
    """Write a table, the whole experiment, or the selected traces as files for other tools.

    rdpt export pocket results -o results.csv
    rdpt export pocket provenance --configuration random -o labels.parquet
    rdpt export pocket -o pocket.duckdb            all tables, for DuckDB 1.4
    rdpt export pocket -o pocket.duckdb --tokens   and per-token numbers
    rdpt export pocket --selection --configuration random -o train.jsonl
    """

    file: CliPositionalArg[str] = Field(description=EXPERIMENT_HELP)
    table: CliPositionalArg[str] = Field(
        default="", description="a table's name; left out for a .duckdb file"
    )
    output: str = Field(
        default="",
        validation_alias=AliasChoices("o", "output", "out"),
        description="output: .parquet, .csv, .jsonl, or - for JSONL; .duckdb for all tables",
    )
    configuration: str = Field(
        default="", description="only rows of this configuration, with their side and role"
    )
    selection: CliToggleFlag[bool] = Field(
        default=False,
        description="selected traces as rows of `messages` (TRL, LLaMA-Factory, axolotl)",
    )
    tokens: CliToggleFlag[bool] = Field(
        default=False, description="per-token tables, in a .duckdb file"
    )

    def act(self) -> int:
        from flows.commands.export import export

        return export(
            self.file, self.table, self.output, self.configuration, self.selection, self.tokens
        )
