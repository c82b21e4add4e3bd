"""`rdpt run`: builds what the store lacks, then prints the results."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliToggleFlag

from flows.commands.verb import FILE_HELP, Verb

NO_WAIT = "exit code 4 instead of waiting for a part that another run is building"


class Run(Verb):
    """Run an experiment or resume it, or report that everything is up to date.

    rdpt run pocket                  a shipped experiment on embedded models
    rdpt run my-study.toml           your own experiment
    rdpt run smoke > table.txt       only the tables of results
    """

    file: CliPositionalArg[str] = Field(description=FILE_HELP)
    no_wait: CliToggleFlag[bool] = Field(default=False, description=NO_WAIT)

    def act(self) -> int:
        # Arrow and DuckDB take a second to import, and help needs neither.
        from flows.building import run
        from flows.runtime import read_runtime
        from flows.workspace import open_file
        from settings.loading import find_experiment

        runtime = read_runtime(wait=not self.no_wait)
        return run(open_file(find_experiment(self.file), runtime))
