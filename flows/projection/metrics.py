"""Numbers of a run, the most important first."""

from __future__ import annotations

from collections.abc import Iterator

from flows.projection.told import Told
from flows.results.rows import domains_of
from flows.results.tables import MAX_DOMAINS
from rdpt_core.provenance.curves import SIDES
from rdpt_core.provenance.labels import FOUR_WAY
from rdpt_core.results.summary import BY_DOMAIN
from rdpt_core.statistics.effects import Estimate, exact, mean_of
from rdpt_core.tables.rows import Result, TrainingStep
from tasks.projection import Point, loss_points, metric_key, rounded

MAX_METRICS = 60
NUM_OF_MODEL = 3
"""Metrics of a trained model that its run has, too: rows of the tables that it learnt from."""
BARE = ("accuracy", "teacher_share", "tokens")
SHARE = "provenance/share/"
WITH_INTERVAL = ("accuracy", "grades/lift")
IMPORTANT = (
    *BARE,
    "grades/lift",
    "grades/gained",
    "grades/lost",
    "grades/net_gained",
    SHARE,
    BY_DOMAIN,
    "grades/detectable_lift",
    "grades/share/",
    "provenance/missing",
    "pool/teacher_share",
    "selection/",
    "students/",
    "provenance/",
    "pool/",
    "grades/",
)
"""Beginnings of metrics, in the order in which they are shown while there is room."""
LESS = ("curves/area_with_truncated/", "curves/area/full/", "grades/num_samples")
"""In the table of results only."""


def metric_points(told: Told, when: int) -> list[Point]:
    """The most important, at most 60 keys together with curves and loss."""
    # Four digits, since MLflow's table prints all digits of a number.
    found = {"seconds": rounded(sum(part.seconds for part in told.all_parts))}
    if mean := mean_accuracy(told):
        found |= _ends("mean/accuracy", mean)
    for slices, row in sorted(_shown(told), key=lambda one: _rank(*one)):
        found |= _named(row, slices)
    curved = len(SIDES) * len(FOUR_WAY) if _labelled(told) else 0
    learnt = NUM_OF_MODEL if told.parts("students", "train") else 0
    room = MAX_METRICS - curved - learnt - len({point.key for point in loss_curve(told)})
    return [Point(key, round(value, 4), 0, when) for key, value in list(found.items())[:room]]


def mean_accuracy(told: Told) -> Estimate | None:
    """Over the benchmarks that a configuration answered itself, each counting alike; None where
    there is one alone."""
    named = [b.name for b in told.opened.experiment.benchmarks if b.own_answers]
    rows = [told.results.get(f"test:{name}", {}).get("accuracy") for name in named]
    found = [Estimate(r.value, r.low, r.high, r.n) for r in rows if r and r.value is not None]
    return mean_of(found) if len(found) > 1 else None


def _ends(key: str, one: Estimate | Result) -> dict[str, float]:
    """A value and the ends of its interval, as far as they are known."""
    values = {key: one.value, f"{key}_low": one.low, f"{key}_high": one.high}
    return {name: value for name, value in values.items() if value is not None}


def _shown(told: Told) -> Iterator[tuple[tuple[str, ...], Result]]:
    """Rows with a name in front of their key where they are of another benchmark than the first."""
    for side, rows in told.results.items():
        slices = (side.partition(":")[2],) if side in told.benchmarks[1:] else ()
        less = (*LESS, BY_DOMAIN) if len(domains_of([rows])) > MAX_DOMAINS else LESS
        for row in rows.values():
            if not row.metric.startswith(less):
                yield slices, row


def _rank(slices: tuple[str, ...], row: Result) -> tuple[int, int]:
    found = [n for n, start in enumerate(IMPORTANT) if row.metric.startswith(start)]
    rank = found[0] if found else len(IMPORTANT)
    # Of other benchmarks, numbers that the first one has beside its accuracy come late.
    return (rank if not slices or row.metric == "accuracy" else rank + len(BARE), len(slices))


def _named(row: Result, slices: tuple[str, ...]) -> dict[str, float]:
    """A row's metrics by key; some with the ends of their interval."""
    key = key_of(row.metric)
    values = _ends(key, row if row.metric in WITH_INTERVAL else exact(row.value, row.n))
    return {metric_key(*slices, *k.split("/")): v for k, v in values.items()}


def key_of(metric: str) -> str:
    """A metric of `results` by the name that MLflow shows: what tells it apart comes first, since
    titles of charts are cut at some 14 letters."""
    for start in (SHARE, "grades/share/"):
        if metric.startswith(start):
            return f"{metric.removeprefix(start)}/share"
    if metric.startswith(BY_DOMAIN):
        domain = metric.removeprefix(BY_DOMAIN)
        return f"{domain.replace('/', '-')} accuracy"
    if metric.startswith(("grades/", "students/")):
        return metric.partition("/")[2]
    return metric


def _labelled(told: Told) -> str | None:
    """The first benchmark, if its sentences were attributed."""
    sides = told.benchmarks[:1]
    return sides[0] if sides and told.parts("provenance", sides[0]) else None


def curve_points(told: Told, when: int) -> Iterator[Point]:
    """Step = sentence position, the middle of a bin rounded down, so MLflow overlays configurations
    by itself."""
    side = _labelled(told)
    curve = told.curves.get(side) if side else None
    if curve is None:
        return
    for name, sides in curve.share.items():
        for which, points in sides.items():
            for position, (value, *_) in zip(curve.position, points, strict=True):
                if value is not None:
                    yield Point(f"{name}/{which}", value, int(position), when)


def loss_curve(told: Told) -> Iterator[Point]:
    parts = told.parts("students", "train")
    if not parts:
        return
    record = told.plan.store.record(parts[0].table, parts[0].key)
    when = record.mtime_ns // 1_000_000 if record else 0
    for rows in told.rows(TrainingStep, "train"):
        yield from loss_points(rows, when)
