"""By what a model behind a server is known again: what it writes greedily, with its candidates.

A key must be equal for equal models, and a server's numbers are not: another batch, another GPU
rounds differently. So two fingerprints are compared with a tolerance, and a key is never derived
from a comparison. The first fingerprint of a model names it, by its digest, and stays as a note
in the workspace (`servers.json`); a server whose fingerprint is within the tolerance of a note
gets the name of the nearest. Notes never move, so identities do not drift through a chain of
small differences. A workspace without the note, on another machine, names the model by what it
sees there: often the same digest, else another identity, and nothing is mixed; a workspace that
is copied brings its notes along.

A server is asked twice, once with all prompts together and once with one at a time. The distance
between the two is its own noise, and sets the tolerance: where a server rounds as much from batch
to batch as two dtypes differ, nobody can tell them apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from pydantic import Field, TypeAdapter

from rdpt_core.models.serving.dialects import Completion
from rdpt_core.store.notes import Notes
from rdpt_core.tables import ids
from rdpt_core.tables.recipe import Rule

CLOSE = 0.004
"""Nats between the candidates of two equal models, in the median, whatever their noise is. On the
pocket models: the same weights in bfloat16 and in float32 differ by .018 and .019."""
NOISES = 4.0
"""Times its own noise, another measurement of a server may differ."""
FARTHEST = 0.1
"""Nats that no noise excuses."""
CLEAR = 0.5
"""Nats between two candidates whose order no rounding turns around."""
ALIKE = 0.5
"""Share of a text that a server without log-probabilities repeats, in the median."""
DIGITS = 4


class Fingerprint(Rule):
    """Greedy texts of fixed prompts, as one server wrote them."""

    texts: tuple[str, ...]
    best: tuple[tuple[dict[str, float], ...], ...]
    """Log-probabilities of the likeliest candidates, by prompt and position; empty where the
    server tells none."""
    noise: float = 0.0
    """Nats between two measurements of one server."""

    @property
    def digest(self) -> str:
        """Coarse, so that two machines without notes often agree."""
        coarse = [
            [{name: round(v, 2) for name, v in one.items()} for one in best] for best in self.best
        ]
        return ids.digest("greedy", list(self.texts), coarse)


def fingerprint_of(together: Sequence[Completion], alone: Sequence[Completion]) -> Fingerprint:
    """The fingerprint of one server, from two measurements of the same prompts."""
    first, second = _read(together), _read(alone)
    return first.model_copy(update={"noise": min(FARTHEST, distance(first, second))})


def _read(written: Sequence[Completion]) -> Fingerprint:
    best = [
        tuple({name: round(v, DIGITS) for name, v in top.items()} for top in one.best)
        for one in written
    ]
    return Fingerprint(texts=tuple(one.text for one in written), best=tuple(best))


def distance(one: Fingerprint, other: Fingerprint) -> float:
    """Nats between the candidates of two models, in the median; infinite for a clear difference.

    A greedy text is followed as far as both write it. Where their choices part, that is rounding
    only if each has the other's choice close behind its own.
    """
    if len(one.texts) != len(other.texts) or _tells(one) != _tells(other):
        return math.inf
    if not _tells(one):
        shares = [_share(a, b) for a, b in zip(one.texts, other.texts, strict=True)]
        return 0.0 if median(shares) >= ALIKE else math.inf
    gaps = [gap for a, b in zip(one.best, other.best, strict=True) for gap in _gaps(a, b)]
    return median(gaps) if gaps and max(gaps) < math.inf else math.inf


def _tells(one: Fingerprint) -> bool:
    return any(one.best)


def _share(one: str, other: str) -> float:
    longest = max(len(one), len(other))
    same = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
    return same / longest if longest else 1.0


def _gaps(
    one: Sequence[Mapping[str, float]], other: Sequence[Mapping[str, float]]
) -> Iterator[float]:
    for a, b in zip(one, other, strict=False):
        if not a or not b:
            return
        mine, theirs = max(a, key=a.__getitem__), max(b, key=b.__getitem__)
        yield from (abs(a[name] - b[name]) for name in a.keys() & b.keys())
        if mine != theirs:
            behind = max(a[mine] - a.get(theirs, -math.inf), b[theirs] - b.get(mine, -math.inf))
            if behind > CLEAR:
                yield math.inf
            return


def is_same(note: Fingerprint, found: Fingerprint) -> bool:
    noise = max(note.noise, found.noise)
    return distance(note, found) <= min(FARTHEST, max(CLOSE, NOISES * noise))


class Known(Rule):
    """What a workspace has met: fingerprints by the identity that they gave, and places (address,
    name, api) with the identity that was last found there."""

    models: dict[str, Fingerprint] = Field(default={})
    places: dict[str, str] = Field(default={})


KNOWN = TypeAdapter(Known)


@dataclass(frozen=True)
class KnownServers:
    """The note of a workspace about the models that servers had."""

    file: Path
    notes: Notes

    def identify(self, place: str, found: Fingerprint) -> str:
        """The name of the nearest fingerprint within the tolerance; else of a new one."""
        with self.notes.alone(self.file):
            known = self._known()
            near = {
                name: distance(one, found)
                for name, one in known.models.items()
                if is_same(one, found)
            }
            name = min(near, key=near.__getitem__) if near else found.digest
            if name not in known.models or known.places.get(place) != name:
                models = {name: found, **known.models}
                kept = Known(models=models, places={**known.places, place: name})
                self.notes.write(self.file, kept.model_dump(mode="json"))
            return name

    def last(self, place: str) -> str | None:
        """What was there when it last answered."""
        return self._known().places.get(place)

    def _known(self) -> Known:
        return self.notes.read(self.file, KNOWN) or Known()
