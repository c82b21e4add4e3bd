"""Verbs that ask about a run and look after the workspace."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliToggleFlag

from flows.commands.comparing import FILE
from flows.commands.verb import Verb


class Why(Verb):
    """Say why parts of a table would be built: what differs from the nearest part there is.

    rdpt why pocket sentences
    rdpt why my-study.toml selection --configuration random
    """

    file: CliPositionalArg[str] = Field(description=FILE)
    table: CliPositionalArg[str] = Field(description="a table, as `rdpt plan` names it")
    configuration: str | None = Field(default=None, description="only parts of this configuration")

    def act(self) -> int:
        from flows import why

        return why.why(self.file, self.table, self.configuration)


class Status(Verb):
    """Say what runs are doing: tables and parts done, rate, time left; never waits for them.

    rdpt status                      every experiment of the workspace
    rdpt status pocket
    watch -n 5 rdpt status           again and again
    """

    file: CliPositionalArg[str] = Field(default="", description=FILE)

    def act(self) -> int:
        from flows import status

        return status.status(self.file)


class Sql(Verb):
    """Ask the catalogue in SQL, read-only: one query, or a prompt where none is given.

    rdpt sql "SELECT name, teacher, selector FROM configurations"
    rdpt sql "FROM results" --format json > results.json
    rdpt sql "SHOW ALL TABLES"       what there is to ask
    rdpt sql < query.sql             CSV, since nobody is at the terminal
    """

    query: CliPositionalArg[str] = Field(default="", description="one statement or several")
    format: Literal["table", "csv", "json"] | None = Field(
        default=None, description="table on a terminal, else csv, where it is left out"
    )

    def act(self) -> int:
        from flows import sql

        return sql.sql(self.query, self.format)


class Verify(Verb):
    """Check every hash of the store; exit 6 where something is damaged.

    rdpt verify                      one line for each damaged part
    rdpt verify --repair             set them aside: the next run builds them alone
    """

    repair: CliToggleFlag[bool] = Field(default=False, description="set damaged parts aside")

    def act(self) -> int:
        from flows import upkeep

        return upkeep.verify(self.repair)


class Gc(Verb):
    """Remove what no experiment of the workspace reaches and is older than RDPT_GC_GRACE_DAYS.

    rdpt gc --dry-run                what would go, and what is kept and why
    RDPT_GC_GRACE_DAYS=0 rdpt gc     without the grace period
    """

    dry_run: CliToggleFlag[bool] = Field(default=False, description="remove nothing")

    def act(self) -> int:
        from flows import upkeep

        return upkeep.gc(self.dry_run)


class Doctor(Verb):
    """Check this machine, and the models of an experiment; exit 2 where something will not work.

    rdpt doctor                      packages, disk, locks, ports, devices
    rdpt doctor my-study.toml        and its models: template, thinking, context, dtype
    rdpt doctor scorer pocket        its models score some traces twice: how far the scores move

    `scorer` writes what it measured into the workspace: the table `noise` of the catalogue, and
    from it the column `undetermined` of `provenance`.
    """

    what: CliPositionalArg[str] = Field(default="", description=f"`scorer`, or FILE: {FILE}")
    file: CliPositionalArg[str] = Field(default="", description="FILE, after `scorer`")

    def act(self) -> int:
        if self.what == "scorer":
            from flows import doctor_scorer

            return doctor_scorer.scorer(self.file)
        from flows import doctor

        return doctor.doctor(self.what, self.file)
