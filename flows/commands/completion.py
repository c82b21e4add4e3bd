"""`rdpt completion`: a script for a shell, which shtab makes from the parsers of all verbs.

The script holds verbs, options and their values. Experiments of the workspace and files are listed
when a key is pressed, by the shell alone: rdpt takes a quarter of a second to start.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import shtab

from flows.cli import VERBS, complete_parser
from flows.commands.verb import FILE_HELP, RUN_HELP, WORKSPACE
from rdpt_core.defaults import SELECTORS
from rdpt_core.tables.rows import ROWS
from settings.shipped import shipped

RUNS = 'command ls -1 "$(_rdpt_workspace)/runs" 2>/dev/null'
"""The workspace is that of `--workspace` on the line, else the variable's."""
BASH = f"""
_rdpt_workspace() {{
  local i found=${{{WORKSPACE}:-workspace}}
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ ${{COMP_WORDS[i]}} == --workspace ]] || continue
    found=${{COMP_WORDS[i + 1]}}
    [[ $found == = ]] && found=${{COMP_WORDS[i + 2]}}
  done
  printf %s "$found"
}}
_rdpt_runs() {{
  compgen -W "$({RUNS})" -- "$1"
}}
_rdpt_experiments() {{
  compgen -W "SHIPPED $({RUNS})" -- "$1"
  compgen -f -X '!*.toml' -- "$1"
  compgen -d -S / -- "$1"
}}
"""
ZSH = f"""
_rdpt_workspace() {{
  local i found=${{{WORKSPACE}:-workspace}}
  for ((i = 1; i < $#words; i++)); do
    [[ $words[i] == --workspace ]] && found=$words[i+1]
    [[ $words[i] == --workspace=* ]] && found=${{words[i]#*=}}
  done
  print -rn -- "$found"
}}
_rdpt_runs() {{
  compadd -- ${{(f)"$({RUNS})"}}
}}
_rdpt_experiments() {{
  compadd -- SHIPPED ${{(f)"$({RUNS})"}}
  _files -g '*.toml'
}}
"""
FISH = f"""
function _rdpt_runs
  set -l found workspace
  set -q {WORKSPACE}; and set found ${WORKSPACE}
  set -l before ''
  for word in (commandline -opc)
    test "$before" = --workspace; and set found $word
    string match -q -- '--workspace=*' $word; and set found (string sub -s 13 -- $word)
    set before $word
  end
  command ls -1 $found/runs 2>/dev/null
end
function _rdpt_experiments
  printf '%s\\\\n' SHIPPED
  _rdpt_runs
  __fish_complete_suffix .toml
end
"""
PREAMBLES = {"bash": BASH, "zsh": ZSH, "fish": FISH}
VALUES = {
    "selector": SELECTORS,
    "match_tokens": SELECTORS,
    "table": tuple(row.TABLE for row in ROWS),
    "verb": tuple(VERBS),
}
"""Arguments with known values that their parser does not list."""


def completion(shell: str) -> int:
    parser = complete_parser()
    for action in _arguments(parser):
        _complete(action)
    preamble = PREAMBLES[shell].replace("SHIPPED", " ".join(shipped()))
    sys.stdout.write(shtab.complete(parser, shell, preamble=preamble).rstrip() + "\n")
    return 0


def _arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield from _arguments(verb)
        else:
            yield action


def _complete(action: argparse.Action) -> None:
    """Sets what an argument may be, as shtab reads it."""
    name, metavar = action.dest.split(".")[-1], str(action.metavar)
    if metavar.startswith("{"):
        action.choices = metavar.strip("{}").split(",")
    elif name in VALUES:
        action.choices, action.help = VALUES[name], name.replace("_", " ")
    elif how := _how(action.help or "", metavar):
        action.complete = how  # type: ignore[attr-defined]


def _how(description: str, metavar: str) -> Any:
    if FILE_HELP in description:
        return _function("_rdpt_experiments")
    if RUN_HELP in description:
        return _function("_rdpt_runs")
    return {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY, "MODEL": shtab.DIRECTORY}.get(metavar)


def _function(name: str) -> dict[str, str]:
    return {"bash": name, "zsh": name, "fish": f"({name})"}
