"""What `--help` and a misspelt command line show: lines that fit a terminal, values by their names,
and the right spelling.
"""

from __future__ import annotations

import argparse
import re
import sys
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
    "mlflow_port": "PORT",
    "prefect_port": "PORT",
}
"""Options whose help says more than their type."""


class Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of examples, and breaks those that a terminal would; says nothing of a
    default that is nothing."""

    def _expand_help(self, action: argparse.Action) -> str:
        text = super()._expand_help(action)
        return text.replace(" (default: )", "").replace(" (default: null)", "")

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "".join(f"{indent}{broken(line, width)}\n" for line in text.rstrip().splitlines())


class Parser(argparse.ArgumentParser):
    """Names the verb or the option that a misspelt one may stand for."""

    def error(self, message: str) -> NoReturn:
        from tasks.progress import say

        self.print_usage(sys.stderr)
        say(broken(f"{self.prog}: {self._explained(message)}", 79))
        sys.exit(2)

    def _explained(self, message: str) -> str:
        what, _, listed = message.partition(" (choose from ")
        if choice := re.search(r"invalid choice: '(.*)'$", what):
            known = re.findall(r"[\w-]+", listed)
            return f"{what}; {hint(choice[1], known)}known: {', '.join(known)}"
        if option := re.search(r"unrecognized arguments: (\S+)", message):
            return f"{message}; {hint(option[1], options(self))}".removesuffix("; ")
        return message


def options(parser: argparse.ArgumentParser) -> list[str]:
    """Names of the options of a parser and of its verbs."""
    own = [name for action in parser._actions for name in action.option_strings]
    return own + [name for verb in _verbs(parser) for name in options(verb)]


def name_values(parser: argparse.ArgumentParser) -> None:
    """Names what an option takes, where the source of settings shows a type or all verbs."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            action.metavar = "VERB"
        elif isinstance(action.metavar, str):
            name = action.dest.split(".")[-1].replace("-", "_")
            action.metavar = VALUES.get(name) or METAVARS.get(action.metavar, action.metavar)
    for verb in _verbs(parser):
        name_values(verb)


def _verbs(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    return [
        verb
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for verb in action.choices.values()
    ]
