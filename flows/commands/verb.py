"""What verbs of the command line share: their common options, and what those do to the process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from pydantic import AliasChoices, BaseModel, Field
from pydantic_settings import CliToggleFlag

RUN_HELP = "a name that `rdpt runs` lists"
"""Help of an argument that names an experiment of the workspace."""
FILE_HELP = "a TOML file, or the name of a shipped experiment"
"""Help of an argument that names an experiment that may be new."""
EXPERIMENT_HELP = f"{RUN_HELP}, a TOML file, or the name of a shipped experiment"
"""Help of an argument that names either."""
WORKSPACE = "RDPT_WORKSPACE"
STANDARD = "-"


class Verb(BaseModel):
    """Flags that every verb takes."""

    verbose: CliToggleFlag[bool] = Field(
        default=False,
        validation_alias=AliasChoices("v", "verbose"),
        description="tracebacks of errors",
    )
    quiet: CliToggleFlag[bool] = Field(
        default=False,
        validation_alias=AliasChoices("q", "quiet"),
        description="only warnings and errors on standard error",
    )

    def act(self) -> int:
        """Does the work and returns the exit code."""
        raise NotImplementedError

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Applies the common options to the process while the block runs."""
        if not self.quiet:
            yield
            return
        from tasks.progress import quietly

        with quietly():
            yield


class WorkspaceVerb(Verb):
    """A verb that looks into a workspace."""

    workspace: str | None = Field(default=None, description=f"the workspace, as {WORKSPACE}")

    @contextmanager
    def settled(self) -> Iterator[None]:
        with super().settled(), _variable(WORKSPACE, self.workspace):
            yield


class Written(Verb):
    """A verb whose standard output is data."""

    output: str = Field(
        default=STANDARD,
        validation_alias=AliasChoices("o", "output"),
        description="output: a file, or - for standard output",
    )

    @contextmanager
    def settled(self) -> Iterator[None]:
        with super().settled(), _written_to(self.output):
            yield


class Answer(Written, WorkspaceVerb):
    """An answer from a workspace, for people or as JSON."""

    as_json: CliToggleFlag[bool] = Field(
        default=False, validation_alias=AliasChoices("json"), description="one JSON document"
    )


@contextmanager
def _variable(name: str, value: str | None) -> Iterator[None]:
    """Sets an environment variable while the block runs, so that child processes see it too."""
    before = os.environ.get(name)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        if value is not None:
            os.environ.pop(name)
            os.environ.update({} if before is None else {name: before})


@contextmanager
def _written_to(output: str) -> Iterator[None]:
    """Standard output goes to a file, which is there when the block ends and not if it raises."""
    if output == STANDARD:
        yield
        return
    from rdpt_core.files.replacing import replacing
    from settings.loading import BadSettings

    path = Path(output)
    if not path.parent.is_dir() or path.is_dir():
        what = f"is a folder: {path}" if path.is_dir() else f"there is no folder {path.parent}"
        raise BadSettings("--output", [what])
    with (
        replacing(path, durable=False) as new,
        new.open("w", encoding="utf-8", newline="\n") as file,
        redirect_stdout(file),
    ):
        yield
