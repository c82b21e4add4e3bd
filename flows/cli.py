"""The command line: verbs only. Every knob is a field of the experiment or of the runtime.

Nothing heavy is imported before a verb needs it, so that `rdpt --help` answers at once. Data goes
to stdout, everything else to stderr.
"""

from __future__ import annotations

import sys
from typing import Any

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    CliApp,
    CliSettingsSource,
    CliSubCommand,
    SettingsConfigDict,
    SettingsError,
    get_subcommand,
)

from flows.commands import comparing, experiments, questions, selecting, tools
from flows.commands.help import Help, Parser, name_values
from flows.commands.verb import Verb

USAGE = 2


class Rdpt(BaseSettings):
    """Where did this sentence come from? Distil a teacher's reasoning into a student, and see.

    rdpt plan smoke                  what a small experiment would build
    rdpt run smoke                   build it: minutes, on embedded models
    rdpt run pocket                  the whole experiment, on embedded models
    rdpt ui                          compare configurations in MLflow
    """

    model_config = SettingsConfigDict(
        cli_prog_name="rdpt",
        cli_enforce_required=False,
        cli_kebab_case=True,
        cli_hide_none_type=True,
        env_prefix="\0",
    )

    run: CliSubCommand[experiments.Run] = Field(description="run an experiment, or resume it")
    plan: CliSubCommand[experiments.ShowPlan] = Field(description="what a run would build")
    resume: CliSubCommand[experiments.Resume] = Field(
        description="resume an experiment of the workspace"
    )
    runs: CliSubCommand[experiments.Runs] = Field(description="the experiments of the workspace")
    sync: CliSubCommand[experiments.Sync] = Field(
        description="bring MLflow up to date from the store"
    )
    segment: CliSubCommand[tools.Segment] = Field(description="texts into sentences")
    score: CliSubCommand[tools.Score] = Field(description="texts under a model, token by token")
    label: CliSubCommand[tools.Label] = Field(description="probabilities into provenance labels")
    grade: CliSubCommand[tools.GradeAnswers] = Field(description="model outputs into verdicts")
    select: CliSubCommand[selecting.Select] = Field(description="candidate traces into picks")
    compare: CliSubCommand[comparing.Compare] = Field(description="configurations side by side")
    export: CliSubCommand[comparing.Export] = Field(description="tables for other tools")
    show: CliSubCommand[comparing.Show] = Field(
        description="a trace, each sentence with where it comes from"
    )
    why: CliSubCommand[questions.Why] = Field(description="what makes a part be built again")
    status: CliSubCommand[questions.Status] = Field(description="what runs are doing")
    sql: CliSubCommand[questions.Sql] = Field(description="ask the catalogue, read-only")
    verify: CliSubCommand[questions.Verify] = Field(description="check every hash of the store")
    gc: CliSubCommand[questions.Gc] = Field(description="remove what no experiment reaches")
    doctor: CliSubCommand[questions.Doctor] = Field(
        description="check this machine and an experiment's models"
    )
    ui: CliSubCommand[experiments.Ui] = Field(description="serve MLflow and Prefect here")
    version: CliSubCommand[experiments.Version] = Field(description="print the version")


def main(arguments: list[str] | None = None) -> int:
    """The script `rdpt`. Returns the exit code of `faults.py`."""
    verb = _parsed(sys.argv[1:] if arguments is None else arguments)
    if isinstance(verb, int):
        return verb
    try:
        code = verb.act()
        sys.stdout.flush()
        return code
    except BaseException as error:  # every exit has a code, and a user's mistake no traceback
        from flows.faults import explain

        return explain(error, verb.verbose)


def _parsed(arguments: list[str]) -> Verb | int:
    parser = Parser(prog="rdpt", description=Rdpt.__doc__, formatter_class=Help)
    try:
        source: CliSettingsSource[Any] = CliSettingsSource(
            Rdpt, root_parser=parser, formatter_class=Help
        )
        name_values(parser)
        if not arguments:
            parser.print_help(sys.stderr)
            return USAGE
        settings = CliApp.run(Rdpt, cli_args=arguments, cli_settings_source=source)
        verb = get_subcommand(settings)
        assert isinstance(verb, Verb)
        return verb
    except ValidationError as error:
        return _refused(*(f"rdpt {_fault(one)}" for one in error.errors()))
    except SettingsError as error:
        return _refused(f"rdpt: {error}", "rdpt --help shows what is known")
    except SystemExit as stop:
        return int(stop.code or 0)


def _refused(*lines: str) -> int:
    from tasks.progress import say

    for line in lines:
        say(line)
    return USAGE


def _fault(error: ErrorDetails) -> str:
    """`label: --alpha 2: should be less than 1 (rdpt label --help)`"""
    verb, *names = map(str, error["loc"])
    name = names[-1].replace("_", "-") if names else ""
    option = f"{'-' if len(name) == 1 else '--'}{name}"
    if error["type"] == "missing":
        return f"{verb}: {option} is missing (rdpt {verb} --help)"
    rule = error["msg"].removeprefix("Input ")
    return f"{verb}: {option} {error['input']}: {rule} (rdpt {verb} --help)"


if __name__ == "__main__":
    sys.exit(main())
