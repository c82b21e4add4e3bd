"""Settings of a configuration as parameters of its run."""

from __future__ import annotations

import json
from collections.abc import Iterator

from flows.projection.told import Told
from rdpt_core.tables import ids
from rdpt_core.tables.recipe import Plain, plain

MAX_PARAM = 6000
"""Characters; MLflow cuts a longer parameter without a word."""


def params_of(told: Told) -> dict[str, str]:
    """The four that tell configurations apart by short names, then every other setting."""
    configuration = told.configuration
    short = {
        "kind": configuration.kind,
        "teacher": configuration.teacher,
        "student": configuration.student,
        "selector": configuration.selector,
        "seed": configuration.seed,
    }
    found = {name: str(value) for name, value in short.items() if value is not None}
    for key, value in _leaves(plain(told.opened.experiment.model_dump(mode="json")), ""):
        found[f"experiment.{key}" if key in short else key] = _fitting(value)
    return found


def _leaves(value: Plain, path: str) -> Iterator[tuple[str, str]]:
    """`labels.alpha` to `0.1`; entries of a list go by their name where they have one. What is
    left at None is not said."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for number, inner in enumerate(value):
            named = inner.get("name") if isinstance(inner, dict) else None
            yield from _leaves(inner, f"{path}.{named or number}")
    elif value is not None:
        yield path, value if isinstance(value, str) else json.dumps(value)


def _fitting(text: str) -> str:
    if len(text) < MAX_PARAM:
        return text
    return f"{len(text)} characters, see experiment.toml; digest {ids.digest(text)}"
