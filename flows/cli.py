"""The command line: verbs only. Every knob is a field of the experiment or of the runtime.

Only the file of the verb that was asked for is imported, so that `rdpt --help` answers at once.
Data goes to stdout, everything else to stderr.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, NamedTuple

from pydantic import Field, ValidationError, create_model
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

from flows.commands.verb import Verb
from flows.parser import Help, Parser, name_values

USAGE = 2


class VerbEntry(NamedTuple):
    place: str
    """Module and class."""
    description: str


VERBS = {
    "run": VerbEntry("flows.commands.run:Run", "run or resume an experiment"),
    "plan": VerbEntry("flows.commands.plan:ShowPlan", "show what a run would build"),
    "resume": VerbEntry("flows.commands.resume:Resume", "resume an experiment of the workspace"),
    "runs": VerbEntry("flows.commands.runs:Runs", "list the experiments of the workspace"),
    "sync": VerbEntry("flows.commands.sync:Sync", "bring MLflow up to date from the store"),
    "segment": VerbEntry("flows.tools.segment:Segment", "split texts into sentences"),
    "score": VerbEntry("flows.tools.score:Score", "score texts with a model, token by token"),
    "label": VerbEntry(
        "flows.tools.label:LabelSentences", "label sentences by their probabilities"
    ),
    "grade": VerbEntry("flows.tools.grade:GradeAnswers", "grade model outputs"),
    "select": VerbEntry("flows.tools.select:Select", "rank candidate traces"),
    "compare": VerbEntry("flows.commands.compare:Compare", "compare configurations"),
    "export": VerbEntry("flows.commands.export:Export", "write tables for other tools"),
    "report": VerbEntry(
        "flows.commands.report:Report", "write the report: one page with results and traces"
    ),
    "show": VerbEntry("flows.commands.show:Show", "show a trace, each sentence with its label"),
    "why": VerbEntry("flows.commands.why:Why", "explain why a part would be built"),
    "status": VerbEntry("flows.commands.status:Status", "show the progress of active runs"),
    "sql": VerbEntry("flows.commands.sql:Sql", "query the catalogue, read-only"),
    "verify": VerbEntry("flows.commands.verify:Verify", "check every hash of the store"),
    "gc": VerbEntry("flows.commands.gc:Gc", "remove parts that no experiment uses"),
    "doctor": VerbEntry(
        "flows.commands.doctor.command:Doctor", "check this machine and an experiment's models"
    ),
    "ui": VerbEntry("flows.commands.ui.command:Ui", "serve MLflow and Prefect here"),
    "version": VerbEntry("flows.commands.version:Version", "print the version"),
}


class Rdpt(BaseSettings):
    """Distil a teacher's reasoning into a student, and see which sentences come from the teacher.

    rdpt plan smoke                  what a small experiment would build
    rdpt run smoke                   build it: minutes, on embedded models
    rdpt run pocket                  the complete experiment
    rdpt ui                          compare configurations in MLflow
    """

    model_config = SettingsConfigDict(
        cli_prog_name="rdpt",
        cli_enforce_required=False,
        cli_kebab_case=True,
        cli_hide_none_type=True,
        env_prefix="\0",
    )


def main(arguments: list[str] | None = None) -> int:
    """The script `rdpt`. Returns the exit code of `errors.py`."""
    verb = _parsed(sys.argv[1:] if arguments is None else arguments)
    if isinstance(verb, int):
        return verb
    try:
        code = verb.act()
        sys.stdout.flush()
        return code
    except BaseException as error:  # every exit has a code, and a user's mistake no traceback
        from flows.errors import explain

        return explain(error, verb.verbose)


def _parsed(arguments: list[str]) -> Verb | int:
    parser = Parser(prog="rdpt", description=Rdpt.__doc__, formatter_class=Help)
    try:
        if not arguments or arguments[0] not in VERBS:
            return _without_verb(parser, arguments)
        return _verb(parser, arguments)
    except ValidationError as error:
        return _refused(*(f"rdpt {_fault(item)}" for item in error.errors()))
    except SettingsError as error:
        return _refused(f"rdpt: {error}", "rdpt --help lists verbs and options")
    except SystemExit as stop:
        return int(stop.code or 0)


def _without_verb(parser: Parser, arguments: list[str]) -> int:
    """Help, or the right spelling; raises SystemExit."""
    verbs = parser.add_subparsers(title="subcommands", metavar="VERB", required=True)
    for name, verb in VERBS.items():
        verbs.add_parser(name, help=verb.description)
    if arguments:
        parser.parse_args(arguments)
    parser.print_help(sys.stderr)
    return USAGE


def _verb(parser: Parser, arguments: list[str]) -> Verb:
    """The verb with its arguments."""
    name = arguments[0]
    place, _, class_name = VERBS[name].place.partition(":")
    verb_class: Any = getattr(import_module(place), class_name)
    field: Any = (CliSubCommand[verb_class], Field())  # type: ignore[misc]
    settings_class: type[BaseSettings] = create_model("Rdpt", __base__=Rdpt, **{name: field})
    source: CliSettingsSource[Any] = CliSettingsSource(
        settings_class, root_parser=parser, formatter_class=Help
    )
    name_values(parser)
    settings = CliApp.run(settings_class, cli_args=arguments, cli_settings_source=source)
    verb = get_subcommand(settings)
    assert isinstance(verb, Verb)
    return verb


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
