"""What all verbs of the command line share."""

from __future__ import annotations

from pydantic import AliasChoices, BaseModel, Field
from pydantic_settings import CliToggleFlag


class Verb(BaseModel):
    """Flags that every verb takes."""

    verbose: CliToggleFlag[bool] = Field(
        default=False,
        validation_alias=AliasChoices("v", "verbose"),
        description="show tracebacks",
    )

    def act(self) -> int:
        """Does it; the exit code."""
        raise NotImplementedError
