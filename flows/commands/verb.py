"""What all verbs of the command line share."""

from __future__ import annotations

from pydantic import AliasChoices, BaseModel, Field
from pydantic_settings import CliToggleFlag

EXPERIMENT_HELP = "a name that `rdpt runs` lists, a TOML file, or a shipped experiment's name"
"""What an argument `file` may be where a verb only looks at an experiment."""


class Verb(BaseModel):
    """Flags that every verb takes."""

    verbose: CliToggleFlag[bool] = Field(
        default=False,
        validation_alias=AliasChoices("v", "verbose"),
        description="show tracebacks",
    )

    def act(self) -> int:
        """Does the work and returns the exit code."""
        raise NotImplementedError
