"""The command line: verbs only. Every knob is a field of the experiment or of the runtime.

Nothing heavy is imported before a verb needs it, so that `rdpt --help` answers at once. Data goes
to stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliApp,
    CliSettingsSource,
    CliSubCommand,
    SettingsConfigDict,
    SettingsError,
    get_subcommand,
)

from flows.commands import experiments
from flows.commands.verb import Verb

USAGE = 2


class Rdpt(BaseSettings):
    """Where did this sentence come from? Distil a teacher's reasoning into a student, and see.

    rdpt run pocket                  the whole experiment, on embedded models
    rdpt plan pocket                 what it would build
    rdpt ui                          compare configurations in MLflow
    """

    model_config = SettingsConfigDict(
        cli_prog_name="rdpt", cli_enforce_required=False, cli_kebab_case=True, env_prefix="\0"
    )

    run: CliSubCommand[experiments.Run] = Field(description="run an experiment, or go on with it")
    plan: CliSubCommand[experiments.ShowPlan] = Field(description="what a run would build")
    resume: CliSubCommand[experiments.Resume] = Field(description="go on with a frozen experiment")
    runs: CliSubCommand[experiments.Runs] = Field(description="the experiments of the workspace")
    sync: CliSubCommand[experiments.Sync] = Field(
        description="bring MLflow up to date from the store"
    )
    ui: CliSubCommand[experiments.Ui] = Field(description="serve MLflow and Prefect here")
    version: CliSubCommand[experiments.Version] = Field(description="print the version")


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
