"""The command line: verbs only. Every knob is a field of the experiment or of the runtime.

Nothing heavy is imported before a verb needs it, so that `rdpt --help` answers at once. Data goes
to stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from pydantic import AliasChoices, BaseModel, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliApp,
    CliPositionalArg,
    CliSettingsSource,
    CliSubCommand,
    CliToggleFlag,
    SettingsConfigDict,
    SettingsError,
    get_subcommand,
)

from rdpt_core import __version__

USAGE = 2


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


class Run(Verb):
    """Run an experiment, or go on with it, or say that nothing is to be done.

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

    mlflow_port: int = Field(default=5000, description="of MLflow")
    prefect_port: int = Field(default=4200, description="of Prefect")

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


class Rdpt(BaseSettings):
    """Where did this sentence come from? Distil a teacher's reasoning into a student, and see.

    rdpt run pocket                  the whole experiment, on embedded models
    rdpt plan pocket                 what it would build
    rdpt ui                          compare configurations in MLflow
    """

    model_config = SettingsConfigDict(
        cli_prog_name="rdpt", cli_enforce_required=False, cli_kebab_case=True, env_prefix="\0"
    )

    run: CliSubCommand[Run] = Field(description="run an experiment, or go on with it")
    plan: CliSubCommand[ShowPlan] = Field(description="what a run would build")
    resume: CliSubCommand[Resume] = Field(description="go on with a frozen experiment")
    runs: CliSubCommand[Runs] = Field(description="the experiments of the workspace")
    sync: CliSubCommand[Sync] = Field(description="bring MLflow up to date from the store")
    ui: CliSubCommand[Ui] = Field(description="serve MLflow and Prefect here")
    version: CliSubCommand[Version] = Field(description="print the version")


def main(arguments: list[str] | None = None) -> int:
    """The script `rdpt`. Returns the exit code of `faults.py`."""
    verb = _parsed(sys.argv[1:] if arguments is None else arguments)
    if isinstance(verb, int):
        return verb
    try:
        return verb.act()
    except BaseException as error:  # every exit has a code, and a user's mistake no traceback
        from flows.faults import explain

        return explain(error, verb.verbose)


def _parsed(arguments: list[str]) -> Verb | int:
    parser = argparse.ArgumentParser(
        prog="rdpt", description=Rdpt.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    try:
        source: CliSettingsSource[Any] = CliSettingsSource(
            Rdpt, root_parser=parser, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if not arguments:
            parser.print_help(sys.stderr)
            return USAGE
        settings = CliApp.run(Rdpt, cli_args=arguments, cli_settings_source=source)
        verb = get_subcommand(settings)
        assert isinstance(verb, Verb)
        return verb
    except (ValidationError, SettingsError) as error:
        sys.stderr.write(f"rdpt: {error}\nrdpt --help shows what is known\n")
        return USAGE
    except SystemExit as stop:
        return int(stop.code or 0)


if __name__ == "__main__":
    sys.exit(main())
