"""`rdpt resume`: `rdpt run` on an experiment as the workspace keeps it."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliToggleFlag

from flows.commands.run import NO_WAIT, run
from flows.commands.verb import Verb
from flows.runtime import read_runtime
from flows.workspace import open_frozen


class Resume(Verb):
    """Resume an experiment as it is frozen in the workspace.

    rdpt resume                      the last one
    rdpt resume pocket
    """

    name: CliPositionalArg[str] = Field(default="", description="a name that `rdpt runs` lists")
    no_wait: CliToggleFlag[bool] = Field(default=False, description=NO_WAIT)

    def act(self) -> int:
        return run(open_frozen(self.name or None, read_runtime(wait=not self.no_wait)))
