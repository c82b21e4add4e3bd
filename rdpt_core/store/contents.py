"""What a catalogue holds besides the parts themselves: who uses which parts, and noise.

A run keeps its contents as a note; those of several experiments are merged into one catalogue.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import Annotated, Any

from pydantic import BeforeValidator, TypeAdapter

from rdpt_core.store.record import Coordinate

PLACE = ("configuration", "side", "benchmark", "table", "role", "scorer")


@dataclass(frozen=True, slots=True)
class ConfigurationRow:
    """A teacher-student-selection pairing, or a baseline."""

    configuration: str
    name: str
    experiment: str
    teacher: str | None
    student: str | None
    distilled: str | None
    selector: str | None
    seed: int | None


@dataclass(frozen=True, slots=True)
class ScorerRow:
    """A model with its rendering and numerics; `author` and `scorer` in the rows are its ids."""

    scorer: str
    model: str
    revision: str | None
    weights: str
    tokenizer: str
    contract: str
    dtype: str
    path: str
    quantisation: str | None
    backend: str


@dataclass(frozen=True, slots=True)
class PartUse:
    """The use of a part by a configuration, on a side, in a role."""

    configuration: str
    side: str
    benchmark: str | None
    table: str
    part: str
    role: str | None
    scorer: str | None = None
    """The model behind a part of `scores`."""
    coordinate: Coordinate | None = None
    """Where the part stands in the table of that configuration; None in notes of an earlier
    release."""


@dataclass(frozen=True, slots=True)
class NoiseRow:
    """A measurement of `rdpt doctor scorer`: a scorer against its second scores, or against another
    scorer of the same model (`rdpt_core/provenance/noise.py`)."""

    scorer: str
    against: str
    p99_logprob: float | None
    p95_p: float
    p99_p: float
    flips: float | None
    num_traces: int


@dataclass(frozen=True, slots=True)
class Contents:
    """The content of the catalogue besides the parts themselves."""

    configurations: tuple[ConfigurationRow, ...]
    scorers: tuple[ScorerRow, ...]
    uses: tuple[PartUse, ...]
    noise: tuple[NoiseRow, ...] = ()
    """Noise of the workspace; stored once there, so not written with the rest."""


def plain(contents: Contents) -> dict[str, Any]:
    """The form for a note: everything except the noise, which is stored once for all. It holds the
    parts of a table once, however many configurations use the table."""
    tables: dict[tuple[tuple[str, Coordinate | None], ...], int] = {}
    uses = []
    for place, of_table in groupby(contents.uses, attrgetter(*PLACE)):
        parts = tuple((use.part, use.coordinate) for use in of_table)
        uses.append([*place, tables.setdefault(parts, len(tables))])
    return {
        "configurations": [asdict(row) for row in contents.configurations],
        "scorers": [asdict(row) for row in contents.scorers],
        "tables": list(tables),
        "uses": uses,
    }


def _uses(tables: Sequence[Any], uses: Iterable[Any]) -> Iterator[PartUse]:
    for configuration, side, benchmark, table, role, scorer, number in uses:
        for part, at in tables[number]:
            place = None if at is None else tuple(at)
            yield PartUse(configuration, side, benchmark, table, part, role, scorer, place)


def _unfolded(value: Any) -> Any:
    """The fields of Contents; a note of an earlier release has them as they are."""
    if not isinstance(value, dict) or "tables" not in value:
        return value
    try:
        uses = tuple(_uses(value["tables"], value["uses"]))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ValueError(f"uses: {error}") from error
    return {"configurations": value["configurations"], "scorers": value["scorers"], "uses": uses}


CONTENTS_NOTE = TypeAdapter(Annotated[Contents, BeforeValidator(_unfolded)])


def merged(all_contents: Iterable[Contents]) -> Contents:
    """The contents of several experiments on one workspace."""
    found = list(all_contents)
    return Contents(
        tuple(dict.fromkeys(item for c in found for item in c.configurations)),
        tuple(dict.fromkeys(item for c in found for item in c.scorers)),
        tuple(dict.fromkeys(item for c in found for item in c.uses)),
        tuple(dict.fromkeys(item for c in found for item in c.noise)),
    )


def of_configuration(contents: Contents, digest: str) -> Contents:
    """What one configuration uses."""
    return replace(
        contents,
        configurations=tuple(c for c in contents.configurations if c.configuration == digest),
        uses=tuple(use for use in contents.uses if use.configuration == digest),
    )


def with_past(contents: Contents, past: Contents) -> Contents:
    """The present and past uses of an experiment, with its present configurations and the present
    coordinates of its parts."""
    now = {replace(use, coordinate=None) for use in contents.uses}
    gone = tuple(use for use in past.uses if replace(use, coordinate=None) not in now)
    past = replace(past, uses=gone)
    before = {c.configuration: c.distilled for c in past.configurations}
    configurations = tuple(
        replace(c, distilled=c.distilled or before.get(c.configuration))
        for c in contents.configurations
    )
    return replace(merged([past, contents]), configurations=configurations)


NOISE_NOTE = TypeAdapter(tuple[NoiseRow, ...])
