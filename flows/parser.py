"""What `--help` and a misspelt command line show: lines that fit a terminal, values by their names,
and the right spelling.
"""

from __future__ import annotations

import argparse
import re
import sys
from copy import copy
from typing import NoReturn

from rdpt_core.report.words import broken
from rdpt_core.tables.spelling import hint

METAVARS = {"str": "NAME", "int": "INT", "float": "FLOAT"}
"""Type of an option's value to what help calls it."""
VALUES = {
    **dict.fromkeys(("o", "out", "output"), "FILE"),
    **dict.fromkeys(("publish", "figures"), "FOLDER"),
    "model": "MODEL",
    "revision": "COMMIT",
    "delimiters": "TAG",
    "workspace": "DIR",
    "mlflow_port": "PORT",
    "prefect_port": "PORT",
}
"""Options whose help says more than their type."""


SHARED = ("-h", "-v", "-q", "--workspace", "--json", "-o")
"""Options that help lists apart; `-o` only where a verb prints without it."""


def complain(line: str) -> None:
    """Says a mistake on the command line, without all that a verb acts with."""
    from rdpt_core.text.printable import printable
    from settings.secrets import redacted

    for each in broken(redacted(line), 79).split("\n"):
        sys.stderr.write(f"{printable(each)}\n")


class Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of examples, and breaks those that a terminal would; says nothing of a
    default that is nothing."""

    def _expand_help(self, action: argparse.Action) -> str:
        text = super()._expand_help(action)
        return text.replace(" (default: )", "").replace(" (default: null)", "")

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "".join(f"{indent}{broken(line, width)}\n" for line in text.rstrip().splitlines())


class Parser(argparse.ArgumentParser):
    """Names the option that a misspelt one may stand for. Where it has the arguments of one verb,
    its usage is that of the verb."""

    def format_usage(self) -> str:
        verb = self._only_verb()
        return super().format_usage() if verb is None else verb.format_usage()

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        name = (self._only_verb() or self).prog
        complain(f"{name}: {self._explained(message)}")
        sys.exit(2)

    def _only_verb(self) -> argparse.ArgumentParser | None:
        verbs = _verbs(self)
        return verbs[0] if len(verbs) == 1 else None

    def _explained(self, message: str) -> str:
        if option := re.search(r"unrecognized arguments: (\S+)", message):
            return f"{message}; {hint(option[1], options(self))}".removesuffix("; ")
        return message


def options(parser: argparse.ArgumentParser) -> list[str]:
    """Names of the options of a parser and of its verbs."""
    own = [name for action in parser._actions for name in action.option_strings]
    return own + [name for verb in _verbs(parser) for name in options(verb)]


def adapt(parser: argparse.ArgumentParser) -> None:
    """Names what an option takes, where the source of settings shows a type or all verbs; and sets
    the options that verbs share apart, in help and from usage."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            action.metavar = "VERB"
        elif isinstance(action.metavar, str):
            name = action.dest.split(".")[-1].replace("-", "_")
            action.metavar = VALUES.get(name) or METAVARS.get(action.metavar, action.metavar)
    for verb in _verbs(parser):
        adapt(verb)
        _set_apart(verb)


def _set_apart(verb: argparse.ArgumentParser) -> None:
    shared = set(SHARED) if "--json" in options(verb) else set(SHARED) - {"-o"}
    common = [action for action in verb._actions if shared & set(action.option_strings)]
    group = verb.add_argument_group("options of most verbs")
    for action in common:
        verb._optionals._group_actions.remove(action)
        group._group_actions.append(action)
    own = [_as_required(action) for action in verb._actions if action not in common]
    formatter = Help(verb.prog)
    formatter.add_usage(None, own, [])
    verb.usage = formatter.format_help().strip().removeprefix("usage: ").replace("%", "%%")


def _as_required(action: argparse.Action) -> argparse.Action:
    """What the settings require is optional for argparse, which would put it in brackets."""
    shown = copy(action)
    shown.required = action.required or (action.help or "").endswith("(required)")
    return shown


def _verbs(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    return [
        verb
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for verb in action.choices.values()
    ]
