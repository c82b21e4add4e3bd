"""What imports and problem files were read as: their first rows, and the account of their values.

A plan prints both; a run ends with the account, also where everything was cached.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flows.workspace import Opened
from rdpt_core.sources import account
from rdpt_core.sources.preview import preview
from rdpt_core.sources.problems import PocketSource
from rdpt_core.text.printable import printable
from settings.inventory import sources_of
from tasks import sources


def plan_lines(opened: Opened) -> Iterator[str]:
    """Three rows of every source as they will be read, and its account."""
    for name, source in _sources(opened):
        yield f"{name}: the first rows of {printable(source.label)} as they will be read"
        try:
            yield from preview(source, opened.base)
        except ConnectionError as error:  # of a set that was read before; its account is here
            yield account.shortened(f"  not shown: {error}", 80)
        yield from _account(opened, name, source)


def account_lines(opened: Opened) -> Iterator[str]:
    """The account of every source that was read."""
    for name, source in _sources(opened):
        yield from _account(opened, name, source)


def _account(opened: Opened, name: str, source: Any) -> Iterator[str]:
    held = sources.source_of(source, opened.experiment.part_size, opened.base)
    first, *rest = account.lines(held.account(opened.store))
    yield f"{name}: {first}"
    yield from rest


def _sources(opened: Opened) -> Iterator[tuple[str, Any]]:
    for name, source in sources_of(opened.experiment).items():
        if not isinstance(source, PocketSource):
            yield name, source
