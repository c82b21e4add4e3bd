"""Verbs that build an experiment, or say what a run would build."""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, Field
from pydantic_settings import CliPositionalArg, CliToggleFlag

from flows.commands.verb import EXPERIMENT_HELP, FILE_HELP, RUN_HELP, Answer, Verb, WorkspaceVerb

NO_WAIT = "exit code 4 instead of waiting for a part that another run is building"


class Init(Verb):
    """Write a commented experiment file to fill in; a file that is there is left alone.

    rdpt init traces                 own traces: which are worth training on
    rdpt init models -o study.toml   own teacher and student: select, train, test
    rdpt init distilled              a distilled model: attribution only
    rdpt init server                 a teacher behind a model server
    """

    case: CliPositionalArg[Literal["traces", "models", "distilled", "server"]] = Field(
        default="traces", description="what you have: traces, models, distilled or server"
    )
    output: str = Field(
        default="",
        validation_alias=AliasChoices("o", "output"),
        description="output: a .toml file, or - for standard output (default: my-CASE.toml)",
    )

    def act(self) -> int:
        from flows.commands.init import init

        return init(self.case, self.output or f"my-{self.case}.toml")


class Run(Answer):
    """Run an experiment or resume it, or report that everything is up to date.

    rdpt run pocket                  a shipped experiment on embedded models
    rdpt run my-study.toml           your own experiment
    rdpt run smoke > table.txt       only the tables of results
    """

    file: CliPositionalArg[str] = Field(description=FILE_HELP)
    no_wait: CliToggleFlag[bool] = Field(default=False, description=NO_WAIT)

    def act(self) -> int:
        from flows.commands.run import run_file

        return run_file(self.file, not self.no_wait, self.as_json)


class Resume(Answer):
    """Resume an experiment of the workspace, as it was first run.

    rdpt resume                      the last run
    rdpt resume pocket
    """

    name: CliPositionalArg[str] = Field(
        default="", description=f"{RUN_HELP} (default: the last run)"
    )
    no_wait: CliToggleFlag[bool] = Field(default=False, description=NO_WAIT)

    def act(self) -> int:
        from flows.commands.run import resume

        return resume(self.name, not self.no_wait, self.as_json)


class DoWork(WorkspaceVerb):
    """Work at an experiment: claim parts that nobody builds until none is left.

    rdpt work pocket                 a worker beside a run, or beside other workers
    srun -n 8 rdpt work study.toml   eight of them, on machines that share the workspace

    A worker holds one model and builds one part at a time. It ends with 1 if a table failed.
    `rdpt run` then finds every part, and shows the results.
    """

    file: CliPositionalArg[str] = Field(description=EXPERIMENT_HELP)
    attached: CliToggleFlag[bool] = Field(
        default=False,
        description="for a worker that a run starts: end once standard input is closed",
    )

    def act(self) -> int:
        from flows.commands.work import work

        return work(self.file, self.attached)


class ShowPlan(Answer):
    """Show what a run would build, without writing anything.

    rdpt plan pocket                           what is left to build, and how long it takes
    rdpt plan pocket --all                     what is cached as well
    rdpt plan my-study.toml | grep build       in a pipe, every table of each configuration
    """

    file: CliPositionalArg[str] = Field(description=FILE_HELP)
    all: CliToggleFlag[bool] = Field(default=False, description="list what is cached as well")

    def act(self) -> int:
        from flows.commands.plan import plan

        return plan(self.file, self.all, self.as_json)


class Why(Answer):
    """Explain why parts of a table would be built: how they differ from the nearest existing part.

    rdpt why pocket sentences
    rdpt why my-study.toml selection --configuration random
    """

    file: CliPositionalArg[str] = Field(description=EXPERIMENT_HELP)
    table: CliPositionalArg[str] = Field(description="name of a table, as in `rdpt plan`")
    configuration: str | None = Field(default=None, description="only parts of this configuration")

    def act(self) -> int:
        from flows.commands.why import why

        return why(self.file, self.table, self.configuration, self.as_json)
