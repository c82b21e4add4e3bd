"""Verbs that run experiments."""

from __future__ import annotations

import sys

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliToggleFlag

from flows.commands.verb import Verb
from rdpt_core import __version__
from rdpt_core.defaults import MLFLOW_PORT, PREFECT_PORT


class Run(Verb):
    """Run an experiment or resume it, or report that everything is up to date.

    rdpt run pocket                  the shipped experiment, on embedded models
    rdpt run my-study.toml           your own
    rdpt run smoke > table.txt       the table of results alone
    """

    file: CliPositionalArg[str] = Field(description="a TOML file, or a shipped experiment's name")
    no_wait: CliToggleFlag[bool] = Field(
        default=False, description="exit 4 where another run is building a needed part"
    )

    def act(self) -> int:
        from flows import verbs

        return verbs.run(self.file, wait=not self.no_wait)


class ShowPlan(Verb):
    """Say what a run would build; writes nothing.

    rdpt plan pocket                 every table of every configuration
    rdpt plan my-study.toml | grep build
    """

    file: CliPositionalArg[str] = Field(description="a TOML file, or a shipped experiment's name")

    def act(self) -> int:
        from flows import verbs

        return verbs.plan(self.file)


class Resume(Verb):
    """Go on with an experiment as it is frozen in the workspace.

    rdpt resume                      the last one
    rdpt resume pocket
    """

    name: CliPositionalArg[str] = Field(default="", description="a name that `rdpt runs` lists")
    no_wait: CliToggleFlag[bool] = Field(
        default=False, description="exit 4 where another run is building a needed part"
    )

    def act(self) -> int:
        from flows import verbs

        return verbs.resume(self.name or None, wait=not self.no_wait)


class Runs(Verb):
    """List the experiments of the workspace and how much of each exists.

    rdpt runs
    RDPT_WORKSPACE=elsewhere rdpt runs
    """

    def act(self) -> int:
        from flows import verbs

        return verbs.runs()


class Sync(Verb):
    """Bring MLflow up to date from the store.

    rdpt sync                        every experiment of the workspace
    rdpt sync pocket
    """

    name: CliPositionalArg[str] = Field(default="", description="a name that `rdpt runs` lists")

    def act(self) -> int:
        from flows import verbs

        return verbs.sync(self.name or None)


class Ui(Verb):
    """Serve MLflow and Prefect on this machine's loopback address, until interrupted.

    rdpt ui
    rdpt ui --mlflow-port 5001
    """

    mlflow_port: int = Field(default=MLFLOW_PORT, description="port of MLflow")
    prefect_port: int = Field(default=PREFECT_PORT, description="port of Prefect")

    def act(self) -> int:
        from flows import servers

        return servers.serve(self.mlflow_port, self.prefect_port)


class Version(Verb):
    """Print the version.

    rdpt version
    """

    def act(self) -> int:
        sys.stdout.write(f"rdpt {__version__}\n")
        return 0
