"""What all verbs of the command line share."""

from __future__ import annotations

from pydantic import AliasChoices, BaseModel, Field
from pydantic_settings import CliToggleFlag

RUN_HELP = "a name that `rdpt runs` lists"
"""Help of an argument that names an experiment of the workspace."""
FILE_HELP = "a TOML file, or the name of a shipped experiment"
"""Help of an argument that names an experiment that may be new."""
EXPERIMENT_HELP = f"{RUN_HELP}, a TOML file, or the name of a shipped experiment"
"""Help of an argument that names either."""


class Verb(BaseModel):
    """Flags that every verb takes."""

    verbose: CliToggleFlag[bool] = Field(
        default=False,
        validation_alias=AliasChoices("v", "verbose"),
        description="tracebacks of errors",
    )

    def act(self) -> int:
        """Does the work and returns the exit code."""
        raise NotImplementedError
