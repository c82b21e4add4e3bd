"""The models that an experiment scores with, each reading the same traces twice.

A *cast* is who labels a sentence together: noise of one of them matters as far as it turns labels
that were made with the others.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

from flows.catalogue import model_of
from flows.commands.doctor.traces import Material, work_of
from flows.configurations import Configuration
from flows.workspace import Opened
from rdpt_core.models.protocols import TextScorer
from rdpt_core.provenance.labels import Labelled, LabelRule, label
from rdpt_core.provenance.noise import Flips, ScoredTraces, flips
from rdpt_core.scoring.hf import HfScorer
from tasks.models import Model
from tasks.plan import Plan
from tasks.progress import counting, say

MOST_PACKED = 600
"""Most tokens of a pack, or of a chunk of a longer trace, of the second scoring."""
MOST_WEIGHTS = 2e9
"""Bytes of weights up to which they are also loaded in float32, for what bfloat16 costs."""

Cast = tuple[str, ...]
"""Scorers in the order teacher, student and, after training, distilled student."""


@dataclass(frozen=True)
class Players:
    """Whom an experiment scores with."""

    models: Mapping[str, Model]
    """By name, in the order of the experiment; a scorer that plays two roles is there once."""
    casts: tuple[Cast, ...]


def players(opened: Opened) -> Players:
    """Models and casts that exist: a student that is not trained yet is not among them."""
    plan = Plan(opened.store)
    models: dict[str, Model] = {}
    casts: dict[Cast, None] = {}
    for configuration in opened.study.configurations():
        for side in configuration.sides:
            roles = _roles(configuration, side, plan)
            if len(roles) > 1:
                casts |= dict.fromkeys([tuple(model.scorer for model in roles.values())])
            for role, model in roles.items():
                if all(model.scorer != known.scorer for known in models.values()):
                    models[_name(configuration, role, models)] = model
    return Players(models, tuple(casts))


def _roles(configuration: Configuration, side: str, plan: Plan) -> dict[str, Model]:
    """Role to model of a side that labels sentences, in the order of a cast."""
    tables = {
        use.role: use.table
        for use in configuration.uses
        if (use.table.name, use.side) == ("scores", side)
    }
    found = {
        role: model_of(tables[role], plan)
        for role in ("teacher", "student", "distilled")
        if role in tables
    }
    return {role: model for role, model in found.items() if model is not None}


def _name(configuration: Configuration, role: str, taken: Mapping[str, Model]) -> str:
    if role == "distilled":
        return f"{configuration.name} (distilled)"
    name = str(configuration.teacher if role == "teacher" else configuration.student)
    return name if name not in taken else f"{name} ({role})"


# ---------------------------------------------------------------------------- scoring


@dataclass(frozen=True)
class Rescored:
    """A model's scores, and how the same traces are scored otherwise."""

    first: ScoredTraces
    again: ScoredTraces
    """In another order, and in packs of another size where the backend has packs."""
    exact: ScoredTraces | None
    """By the same weights in float32; None where they are that already, or are large."""
    exact_scorer: str = ""
    other_blank: ScoredTraces | None = None
    """With leading blanks counted at the other place; None where a backend cannot."""


def rescored(opened: Opened, name: str, model: Model, on: Material) -> Rescored:
    """Raises ValueError for a model that is refused. Progress goes to stderr."""
    work, whole = work_of(opened, opened.runtime.workspace), in_float32(model)
    scorer = model.text_scorer(work, None)
    first = _scored(scorer, on, name)
    again = _scored(_otherwise(scorer, first), replace(on, traces=on.traces[::-1]), f"{name} again")
    other = None
    if isinstance(scorer, HfScorer):
        moved = model.on(opened.experiment.scoring.with_other_blank().numerics)
        other = _scored(scorer.with_numerics(moved.known), on, f"{name}, blanks otherwise")
    if whole is None:
        return Rescored(first, again, None, other_blank=other)
    exact = _scored(whole.text_scorer(work, None), on, f"{name} in float32")
    return Rescored(first, again, exact, whole.scorer, other)


def _otherwise(scorer: TextScorer, first: ScoredTraces) -> TextScorer:
    """In packs of half the longest trace, which is thus read in chunks, over a cache. On a CPU
    nothing else moves: packs of 600 tokens instead of 2,048 gave equal bits (measured)."""
    if not isinstance(scorer, HfScorer):
        return scorer
    longest = max(len(row.token_bytes) for row in first.tokens)
    return scorer.in_chunks_of(max(1, min(MOST_PACKED, longest // 2)))


def _scored(scorer: TextScorer, on: Material, name: str) -> ScoredTraces:
    begun = time.monotonic()
    with counting(name, "tokens") as advance:
        found = ScoredTraces.joined(
            on.traces, on.sentences, scorer.score(on.problems, on.traces, advance)
        )
    num_tokens = sum(len(row.token_bytes) for row in found.tokens)
    say(f"{name}: {num_tokens:,} tokens scored in {time.monotonic() - begun:.1f} s")
    return found


def in_float32(model: Model) -> Model | None:
    """The same weights without rounding, where that costs little."""
    spec = model.spec
    if (spec.dtype, spec.backend, model.known.quantisation) != ("bfloat16", "hf", None):
        return None
    files = [model.folder / spec.gguf] if spec.gguf else model.folder.glob("*.safetensors")
    if sum(file.stat().st_size for file in files) > MOST_WEIGHTS:
        return None
    return replace(model, spec=spec.model_copy(update={"dtype": "float32"}))


def backend_pairs(who: Players) -> Iterator[tuple[str, str]]:
    """Names of two models that are one, of which a server has one: the same tokenizer, read from
    the same place. A teacher and a student of one family share a tokenizer, but no place."""
    for (one, a), (other, b) in combinations(who.models.items(), 2):
        same = (a.known.tokenizer, a.spec.path) == (b.known.tokenizer, b.spec.path)
        if same and (a.spec.backend == "server") != (b.spec.backend == "server"):
            yield one, other


# ---------------------------------------------------------------------------- labels


def flips_of(
    scorer: str,
    instead: ScoredTraces,
    who: Players,
    first: Mapping[str, ScoredTraces],
    rule: LabelRule,
) -> Flips:
    """Labels that change when one scorer's scores are replaced: three-way for a teacher or a
    student, four-way for a distilled student, over every cast that it is in."""
    return _flips(_casts_of(scorer, who), first, {**first, scorer: instead}, rule)


def flips_of_all(
    instead: Mapping[str, ScoredTraces],
    who: Players,
    first: Mapping[str, ScoredTraces],
    rule: LabelRule,
) -> Flips:
    """Labels that change when all scorers of a cast are replaced at once, over every cast."""
    return _flips(who.casts, first, instead, rule)


def _flips(
    casts: Iterable[Cast],
    before: Mapping[str, ScoredTraces],
    after: Mapping[str, ScoredTraces],
    rule: LabelRule,
) -> Flips:
    """Over the casts of which every scorer is in both."""
    found = [
        flips(_labels([before[n] for n in cast], rule), _labels([after[n] for n in cast], rule))
        for cast in casts
        if all(name in before and name in after for name in cast)
    ]
    return Flips(sum(one.num for one in found), sum(one.of for one in found))


def _casts_of(scorer: str, who: Players) -> list[Cast]:
    """Teacher and student alone where one of them is asked about."""
    pairs = dict.fromkeys(cast[:2] for cast in who.casts if scorer in cast[:2])
    trios = dict.fromkeys(cast for cast in who.casts if cast[2:] == (scorer,))
    return [*pairs, *trios]


def _labels(scorings: list[ScoredTraces], rule: LabelRule) -> Labelled:
    p = [one.p(rule) for one in scorings]
    return label(p[0], p[1], p[2] if len(p) > 2 else None, rule)
