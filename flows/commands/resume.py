"""`rdpt resume`: `rdpt run` on an experiment as the workspace keeps it."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliToggleFlag

from flows.commands.run import NO_WAIT
from flows.commands.verb import RUN_HELP, Verb


class Resume(Verb):
    """Resume an experiment of the workspace, as it was first run.

    rdpt resume                      the last run
    rdpt resume pocket
    """

    name: CliPositionalArg[str] = Field(
        default="", description=f"{RUN_HELP} (default: the last run)"
    )
    no_wait: CliToggleFlag[bool] = Field(default=False, description=NO_WAIT)

    def act(self) -> int:
        from flows.building import run
        from flows.runtime import read_runtime
        from flows.workspace import open_frozen

        return run(open_frozen(self.name or None, read_runtime(wait=not self.no_wait)))
