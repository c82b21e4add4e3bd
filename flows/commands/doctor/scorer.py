"""`rdpt doctor scorer`: how much an experiment's scores differ when they are computed again.

The result is the table `noise` of the catalogue, and from it the column `undetermined`. It is kept
in the workspace outside the store, and reaches no key: noise says how far a number can be trusted,
not what the number is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from flows.catalogue import keep_noise, publish_catalogue
from flows.checks import check_workspace
from flows.commands.doctor.findings import Finding, Level, print_findings
from flows.commands.doctor.rescoring import (
    Players,
    Rescored,
    backend_pairs,
    flips_of,
    flips_of_all,
    players,
    rescored,
)
from flows.commands.doctor.traces import Material, material
from flows.runtime import read_runtime
from flows.workspace import NOISE, Opened, frozen_names, open_asked, open_frozen
from rdpt_core.provenance.noise import (
    ENOUGH_TRACES,
    MOST_FLIPS,
    MOST_P95,
    Flips,
    ScoreDifference,
    ScoredTraces,
    difference,
)
from rdpt_core.store.contents import NoiseRow
from tasks.models import Model
from tasks.progress import say


def check_scorers(file: str, as_json: bool = False) -> int:
    """Lines as `rdpt doctor` writes them; 2 where a gate does not hold. Raises BadSettings."""
    opened = replace(open_asked(file, read_runtime()), read_only=False)
    check_workspace(opened.runtime.workspace, writes=True)
    examined = Examined(opened)
    code = print_findings(examined.findings(), as_json, width=28)
    if examined.noise:
        keep_noise(opened, examined.noise)
        say(f"stored in {opened.runtime.workspace / NOISE}; the catalogue has it as table noise")
        _refresh_catalogue(opened)
    return code


def _refresh_catalogue(opened: Opened) -> None:
    """Publishes the frozen experiment, since a changed file is not a run. A workspace without runs
    has no catalogue yet; its first run publishes one."""
    names = frozen_names(opened.runtime)
    if names:
        name = opened.experiment.name
        publish_catalogue(open_frozen(name if name in names else None, opened.runtime))


@dataclass
class Examined:
    """The models of an experiment while they are examined."""

    opened: Opened
    noise: list[NoiseRow] = field(default_factory=list)
    """What was measured so far."""
    found: dict[str, Rescored] = field(default_factory=dict)
    """By scorer."""

    def findings(self) -> Iterator[Finding]:
        experiment = self.opened.experiment
        yield Finding(Level.OK, "experiment", f"{experiment.name}: {self.opened.file}")
        on, who = material(self.opened), players(self.opened)
        yield _traces(on)
        for name, model in who.models.items():
            yield from self._score(name, model, on)
        first = {scorer: one.first for scorer, one in self.found.items()}
        for name, model in who.models.items():
            if model.scorer in first:
                yield from self._model(name, model, who, first)
        for one, other in backend_pairs(who):
            yield from self._pair(one, other, who, first)
        yield from self._blanks(who, first)

    def _score(self, name: str, model: Model, on: Material) -> Iterator[Finding]:
        if model.spec.backend == "logged":
            yield Finding(
                Level.WARN,
                name,
                "logged scores cannot be made again",
                "its sentences stay without `undetermined`",
            )
            return
        try:
            self.found[model.scorer] = rescored(self.opened, name, model, on)
        except ValueError as error:
            yield Finding(Level.FAIL, name, str(error), "see `rdpt doctor` of this experiment")

    def _model(
        self, name: str, model: Model, who: Players, first: Mapping[str, ScoredTraces]
    ) -> Iterator[Finding]:
        one = self.found[model.scorer]
        yield from self._compared(
            name,
            (model.scorer, one.first),
            (model.scorer, one.again),
            who,
            first,
            lambda: _advice(model),
        )
        if one.exact is not None:
            yield from self._compared(
                "  in float32",
                (model.scorer, one.first),
                (one.exact_scorer, one.exact),
                who,
                first,
                None,
            )

    def _pair(
        self, one: str, other: str, who: Players, first: Mapping[str, ScoredTraces]
    ) -> Iterator[Finding]:
        """Two backends, each in the other's place."""
        names = (who.models[one].scorer, who.models[other].scorer)
        if not all(name in first for name in names):
            return
        a, b = ((name, first[name]) for name in names)
        yield from self._compared(f"{one}, {other}", a, b, who, first, lambda: BACKENDS)
        for _ in self._compared(f"{other}, {one}", b, a, who, first, None):
            pass

    def _blanks(self, who: Players, first: Mapping[str, ScoredTraces]) -> Iterator[Finding]:
        """What the place of leading blanks decides (T14); it is no noise, so it is not kept."""
        rule, how = self.opened.experiment.labels, self.opened.experiment.scoring
        moved = {name: one.other_blank for name, one in self.found.items() if one.other_blank}
        gaps = [np.abs(first[name].p(rule) - other.p(rule)) for name, other in moved.items()]
        known = np.concatenate([one[np.isfinite(one)] for one in gaps]) if gaps else np.empty(0)
        turned = flips_of_all(moved, who, first, rule)
        if not turned.of:  # no cast of models that can all do it
            return
        place = how.with_other_blank().leading_blank
        said = f"mean |dp| {known.mean():.2g}, p95 {np.quantile(known, 0.95):.2g}"
        yield Finding(
            Level.OK,
            f'blanks "{place}"',
            f"{said}; {turned.num} of {turned.of:,} labels would change",
        )

    def _compared(
        self,
        what: str,
        one: tuple[str, ScoredTraces],
        other: tuple[str, ScoredTraces],
        who: Players,
        first: Mapping[str, ScoredTraces],
        advice: Callable[[], str] | None,
    ) -> Iterator[Finding]:
        """Scorer `one` against `other`; without advice the gates do not apply."""
        rule = self.opened.experiment.labels
        try:
            found = difference(one[1], other[1], rule)
        except ValueError as error:
            yield Finding(Level.FAIL, what, str(error), "give traces that it can read")
            return
        turned = flips_of(one[0], other[1], who, first, rule)
        self.noise.append(
            NoiseRow(
                one[0],
                other[0],
                found.p99_logprob,
                found.p95_p,
                found.p99_p,
                turned.share,
                found.num_traces,
            )
        )
        yield from _told(what, found, turned, advice)


# ---------------------------------------------------------------------------- what is said

BACKENDS = "one of them is another model, or reads text otherwise: compare dtype, quantisation, \
template and context"


def _advice(model: Model) -> str:
    if model.spec.backend == "server":
        return "its server rounds by what it serves beside: prefix caching off, fewer sequences"
    if model.is_compiled:
        return 'path = "exact" in [scoring] moves less'
    if model.spec.dtype == "bfloat16":
        return 'dtype = "float32" in its entry moves less'
    return "trust no label whose `undetermined` is true, and report this: float32 moves less"


def _traces(on: Material) -> Finding:
    few = len(on.traces) < ENOUGH_TRACES
    return Finding(
        Level.WARN if few else Level.OK,
        "traces",
        f"{len(on.traces)} {on.origin}, {len(on.sentences)} sentences and tags",
        f"the gates say little below {ENOUGH_TRACES}" if few else "",
    )


def _told(
    what: str, found: ScoreDifference, turned: Flips, advice: Callable[[], str] | None
) -> Iterator[Finding]:
    """The two gates first, then what is only reported."""
    gap = f"p95 of |dp| {found.p95_p:.2g} (at most {MOST_P95}), p99 {found.p99_p:.2g}"
    skipped = f", {found.num_skipped} more not scored" if found.num_skipped else ""
    of = f"{found.num_sentences:,} sentences of {found.num_traces} traces{skipped}"
    yield _gate(what, found.p95_p <= MOST_P95, advice, f"{gap}; {of}")
    flips = f"{turned.num} of {turned.of:,} labels (at most {MOST_FLIPS:.0%})"
    yield _gate("  flips", turned.hold, advice, flips)
    if found.mean_ratio is None:
        yield Finding(Level.OK, "  tokens", "cut otherwise by the two: sentences alone compare")
        return
    tokens = f"mean exp |dlogp| {found.mean_ratio:.6f}, p99 of |dlogp| {found.p99_logprob:.2g}"
    yield Finding(Level.OK, "  tokens", f"{tokens}; {found.num_tokens:,} tokens")


def _gate(what: str, holds: bool, advice: Callable[[], str] | None, said: str) -> Finding:
    if holds or advice is None:
        return Finding(Level.OK, what, said)
    return Finding(Level.FAIL, what, said, advice())
