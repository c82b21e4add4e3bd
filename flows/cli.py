"""The command line: verbs only. Every knob is a field of the experiment or of the runtime.

Only the arguments of the verb that was asked for are imported, and what it computes with once it
acts, so that help and mistakes answer at once. Data goes to stdout, everything else to stderr.
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
from flows.parser import Help, Parser, adapt, complain, options
from rdpt_core import __version__
from rdpt_core.tables.spelling import hint, nearest

USAGE = 2


class VerbEntry(NamedTuple):
    place: str
    """Module and class."""
    description: str


VERBS = {
    "init": VerbEntry("flows.verbs.experiments:Init", "write an experiment file to fill in"),
    "run": VerbEntry("flows.verbs.experiments:Run", "run or resume an experiment"),
    "plan": VerbEntry("flows.verbs.experiments:ShowPlan", "show what a run would build"),
    "resume": VerbEntry("flows.verbs.experiments:Resume", "resume an experiment of the workspace"),
    "work": VerbEntry(
        "flows.verbs.experiments:DoWork", "build parts of an experiment beside other workers"
    ),
    "runs": VerbEntry("flows.verbs.answers:Runs", "list the experiments of the workspace"),
    "sync": VerbEntry("flows.verbs.workspace:Sync", "bring MLflow up to date from the store"),
    "segment": VerbEntry("flows.verbs.tools:Segment", "split texts into sentences"),
    "score": VerbEntry("flows.verbs.tools:Score", "score texts with a model, token by token"),
    "label": VerbEntry(
        "flows.verbs.tools:LabelSentences", "label sentences by their probabilities"
    ),
    "grade": VerbEntry("flows.verbs.tools:GradeAnswers", "grade model outputs"),
    "select": VerbEntry("flows.verbs.tools:Select", "rank candidate traces"),
    "compare": VerbEntry("flows.verbs.answers:Compare", "compare configurations"),
    "export": VerbEntry("flows.verbs.answers:Export", "write tables for other tools"),
    "report": VerbEntry(
        "flows.verbs.answers:Report", "write the report: one page with results and traces"
    ),
    "show": VerbEntry("flows.verbs.answers:Show", "show a trace, each sentence with its label"),
    "lineage": VerbEntry("flows.verbs.answers:LineageOf", "show what trained an answer's student"),
    "why": VerbEntry("flows.verbs.experiments:Why", "explain why a part would be built"),
    "status": VerbEntry("flows.verbs.answers:Status", "show the progress of active runs"),
    "sql": VerbEntry("flows.verbs.answers:Sql", "query the catalogue, read-only"),
    "verify": VerbEntry("flows.verbs.workspace:Verify", "check every hash of the store"),
    "gc": VerbEntry("flows.verbs.workspace:Gc", "remove parts that no experiment uses"),
    "doctor": VerbEntry(
        "flows.verbs.workspace:Doctor", "check this machine and an experiment's models"
    ),
    "ui": VerbEntry("flows.verbs.workspace:Ui", "serve MLflow and Prefect here"),
    "completion": VerbEntry(
        "flows.verbs.workspace:PrintCompletion", "print a script that completes in a shell"
    ),
    "help": VerbEntry("flows.verbs.workspace:ShowHelp", "show the help of a verb"),
    "version": VerbEntry("flows.verbs.workspace:Version", "print the version"),
}


class Rdpt(BaseSettings):
    """Distil a teacher's reasoning into a student, and see which sentences come from the teacher.

    rdpt plan smoke                  what a small experiment would build
    rdpt run smoke                   build it: minutes, on embedded models
    rdpt run pocket                  the complete experiment
    rdpt ui                          compare configurations in MLflow
    rdpt init traces                 an experiment file for your own traces
    rdpt help run                    options of a verb, with examples
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
        with verb.settled():
            code = verb.act()
            sys.stdout.flush()
        return code
    except BaseException as error:  # every exit has a code, and a user's mistake no traceback
        from flows.errors import explain

        return explain(error, verb.verbose)


def _parsed(arguments: list[str]) -> Verb | int:
    parser = Parser(prog="rdpt", description=Rdpt.__doc__, formatter_class=Help, allow_abbrev=False)
    try:
        if not arguments:
            _add_verbs(parser)
            parser.print_help(sys.stderr)
            return USAGE
        if arguments[0] not in VERBS:
            return _without_verb(parser, arguments[0])
        return _verb(parser, arguments)
    except ValidationError as error:
        parser.print_usage(sys.stderr)
        return _refused(*(f"rdpt {_fault(item)}" for item in error.errors()))
    except SettingsError as error:
        parser.print_usage(sys.stderr)
        return _refused(f"rdpt {arguments[0]}: {error}")
    except SystemExit as stop:
        return int(stop.code or 0)


def _without_verb(parser: Parser, first: str) -> int:
    """Help or the version, which raise SystemExit; or what was meant, with its usage."""
    near = nearest(first, VERBS)
    if first.startswith("-"):
        _add_verbs(parser)
        version = f"rdpt {__version__}"
        parser.add_argument(
            "--version", action="version", version=version, help="print the version"
        )
        if first in options(parser):
            parser.parse_args([first])
        return _refused(f"rdpt: {first} is not an option before a verb; {_option_hint(first)}")
    if near is None:
        return _refused(f"rdpt: there is no verb {first!r}; verbs: {', '.join(VERBS)}")
    complete_parser(near).print_usage(sys.stderr)
    return _refused(f"rdpt: there is no verb {first!r}; did you mean {near}?")


def _option_hint(name: str) -> str:
    after = f"options of a verb go after it: rdpt VERB {name}"
    return hint(name, ("--help", "--version")).rstrip() or after


def _add_verbs(parser: Parser) -> None:
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name, verb in VERBS.items():
        verbs.add_parser(name, help=verb.description)


def _verb(parser: Parser, arguments: list[str]) -> Verb:
    """The verb with its arguments."""
    settings_class = _settings(arguments[0])
    source = _fill(parser, settings_class)
    settings = CliApp.run(settings_class, cli_args=arguments, cli_settings_source=source)
    verb = get_subcommand(settings)
    assert isinstance(verb, Verb)
    return verb


def complete_parser(*names: str) -> Parser:
    """A parser of these verbs with all their arguments, all verbs where none is named."""
    parser = Parser(prog="rdpt", formatter_class=Help, allow_abbrev=False)
    _fill(parser, _settings(*(names or VERBS)))
    return parser


def _fill(parser: Parser, settings_class: type[BaseSettings]) -> CliSettingsSource[Any]:
    """Gives the parser its verbs; what is returned reads them."""
    source: CliSettingsSource[Any] = CliSettingsSource(
        settings_class, root_parser=parser, formatter_class=Help
    )
    adapt(parser)
    return source


def _settings(*names: str) -> type[BaseSettings]:
    """The class from which `pydantic_settings` makes a parser of these verbs."""
    fields: dict[str, Any] = {}
    for name in names:
        place, _, class_name = VERBS[name].place.partition(":")
        verb_class: Any = getattr(import_module(place), class_name)
        # The class says more than one line; a verb's own help shows all of it.
        about = Field(description=VERBS[name].description)
        fields[name] = (CliSubCommand[verb_class], about)  # type: ignore[misc]
    return create_model("Rdpt", __base__=Rdpt, **fields)


def _refused(*lines: str) -> int:
    for line in lines:
        complain(line)
    return USAGE


def _fault(error: ErrorDetails) -> str:
    """`label: --alpha 2: should be less than 1`"""
    verb, *names = map(str, error["loc"])
    name = names[-1].replace("_", "-") if names else ""
    option = f"{'-' if len(name) == 1 else '--'}{name}"
    if error["type"] == "missing":
        return f"{verb}: {option} is missing"
    rule = error["msg"].removeprefix("Input ")
    return f"{verb}: {option} {error['input']}: {rule}"


if __name__ == "__main__":
    sys.exit(main())
