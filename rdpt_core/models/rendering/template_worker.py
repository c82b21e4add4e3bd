"""Renders chat templates in a process of its own, which may be killed.

A template is a program that somebody else wrote: one that loops for ever, or multiplies a string
until no memory is left, can only be stopped from outside. `template_process.py` starts this file
as a script and asks it in lines of JSON; it reads nothing else and has no secrets in its
environment.
"""

from __future__ import annotations

import datetime
import json
import resource
import sys
from contextlib import suppress
from functools import lru_cache
from typing import Any

from jinja2 import Template, TemplateError, meta, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

CLOCK = datetime.datetime(2025, 1, 1, 12, 0, 0)
"""What "today" is for every template, so that prompts do not drift from day to day."""
MOST_SECONDS = 5
"""Processor time of one rendering; real templates take less than a millisecond."""
MOST_BYTES = 2**30
"""Address space of the process. The interpreter itself takes 50 MB."""
MOST_CHARACTERS = 16_000_000
"""Length of a rendered conversation; the longest context is some 4,000,000 characters."""


class _Generation(Extension):
    """`{% generation %}` marks what trainers mask; rendering passes over it."""

    tags = {"generation"}  # noqa: RUF012 (declared so by Jinja)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def environment() -> ImmutableSandboxedEnvironment:
    """Jinja as transformers sets it up, with a frozen clock."""
    found = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    found.filters["tojson"] = lambda value, indent=None: json.dumps(
        value, ensure_ascii=False, indent=indent
    )
    found.globals["raise_exception"] = _refuse
    found.globals["strftime_now"] = CLOCK.strftime
    return found


def _refuse(message: str) -> None:
    raise TemplateError(message)


ENVIRONMENT = environment()


@lru_cache(maxsize=16)
def _compiled(source: str) -> Template:
    return ENVIRONMENT.from_string(source)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """`text` of a rendering, or the `variables` that a template reads and which of them are its
    `own`; else `refused`, where the template raises, or `fault`, where it breaks or is too large.
    """
    try:
        if "values" not in request:
            return _variables(ENVIRONMENT.parse(request["source"]))
        text = _compiled(request["source"]).render(**request["values"])
    except TemplateError as error:
        return {"refused": f"{type(error).__name__}: {error}"}
    except (MemoryError, RecursionError) as error:
        return {"fault": f"needs too much memory ({type(error).__name__})"}
    except Exception as error:
        return {"fault": f"{type(error).__name__}: {error}"}
    if len(text) > MOST_CHARACTERS:
        return {"fault": f"renders {len(text):,} characters, and {MOST_CHARACTERS:,} are allowed"}
    return {"text": text}


def _variables(tree: nodes.Template) -> dict[str, Any]:
    """Jinja counts among the undeclared what a template sets in one branch and reads in another.
    Of these, the ones that it never asks for (`is defined`, `default`) are its own."""
    names = meta.find_undeclared_variables(tree) - ENVIRONMENT.globals.keys()
    stored = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "store"}
    asked = {
        ask.node.name
        for ask in tree.find_all((nodes.Test, nodes.Filter))
        if ask.name in ("defined", "undefined", "default", "d") and isinstance(ask.node, nodes.Name)
    }
    return {"variables": sorted(names), "own": sorted(names & stored - asked)}


def _limit_time() -> None:
    """The kernel ends the process when this much more processor time is spent."""
    spent = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(spent.ru_utime + spent.ru_stime) + 1 + MOST_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def main() -> None:
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    with suppress(ValueError):  # macOS knows no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin.buffer:
        _limit_time()
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
