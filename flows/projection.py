"""A complete configuration as MLflow shows it, read from the store alone.

Nothing here is kept anywhere: `rdpt sync` makes all of it again. What grows with the experiment is
cut to what a page can show (60 metrics, 500 points a curve, 200 examples), and the whole stays in
the tables.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from flows.configurations import Configuration
from flows.results.cells import interval, share
from flows.results.rows import domains_of, rows_of
from flows.results.tables import MAX_DOMAINS
from flows.workspace import Opened
from rdpt_core.files.writing import csv_writer
from rdpt_core.provenance.curves import SIDES, CurveRule, PositionCounts, curves, position_counts
from rdpt_core.provenance.labels import FOUR_WAY, LABELS
from rdpt_core.report import figures
from rdpt_core.results.summary import BY_DOMAIN
from rdpt_core.store.parts import contents_digest, file_hash
from rdpt_core.store.record import Part
from rdpt_core.tables import ids
from rdpt_core.tables.recipe import Plain, plain
from rdpt_core.tables.rows import Grade, Pick, Problem, Provenance, Result, Trace, TrainingStep
from tasks.models import CHECKPOINT
from tasks.plan import Plan
from tasks.projection import Dataset, Point, Projection, metric_key, tag_key
from tasks.stage import Parts
from tasks.tracking import loss_points

R = TypeVar("R")

MAX_METRICS = 60
MAX_POINTS = 500
MAX_EXAMPLES = 200
MAX_PARAM = 6000
"""Characters; MLflow cuts a longer parameter without a word."""
MIN_TRACES = 10
"""At a position, for its share to be drawn."""
BARE = ("accuracy", "teacher_share", "tokens")
FIRST = ("grades/gained", "grades/lost", "grades/net_gained", BY_DOMAIN)
"""Told before all other metrics: what a mean hides."""
LESS = ("curves/area_with_truncated/", "curves/area/full/", "grades/num_samples")
"""In the table of results only."""


@dataclass(frozen=True)
class Told:
    """A complete configuration with its tables at hand."""

    opened: Opened
    configuration: Configuration
    plan: Plan

    def parts(self, table: str, side: str) -> tuple[Part, ...]:
        wanted = self.configuration.find(table, side)
        return self.plan.state(wanted).parts if wanted else ()

    def rows(self, row: type[R], side: str) -> Parts[R]:
        table: str = row.TABLE  # type: ignore[attr-defined]
        return Parts(self.plan.store, row, self.parts(table, side))

    @property
    def benchmarks(self) -> list[str]:
        """Sides, the first one first: bare metrics are its."""
        return [side for side in self.configuration.sides if side.startswith("test:")]

    @cached_property
    def results(self) -> dict[str, dict[str, Result]]:
        """Side to metric to row."""
        sides = self.configuration.sides
        return {side: rows_of(self.configuration, side, self.plan) for side in sides}

    @cached_property
    def all_parts(self) -> list[Part]:
        found = [p for use in self.configuration.uses for p in self.plan.state(use.table).parts]
        return list({(part.table, part.key): part for part in found}.values())

    @cached_property
    def times(self) -> list[int]:
        """Milliseconds at which the parts were committed."""
        records = [self.plan.store.record(part.table, part.key) for part in self.all_parts]
        return [record.mtime_ns // 1_000_000 for record in records if record]


def project(opened: Opened, configuration: Configuration) -> Projection:
    """Raises Damaged where a part does not hold any more."""
    told = Told(opened, configuration, opened.plan)
    ended = max(told.times)
    return Projection(
        name=configuration.name,
        digest=configuration.digest,
        begun=min(told.times),
        ended=ended,
        tags=dict(_tags(told)),
        params=_params(told),
        points=(*_metrics(told, ended), *_curve_points(told, ended)),
        losses=tuple(_losses(told)),
        artifacts=dict(_artifacts(told)),
        datasets=tuple(_datasets(told)),
        note=_note(told),
    )


# ---------------------------------------------------------------------------- words


def _tags(told: Told) -> Iterator[tuple[str, str]]:
    """Digests of the run's parts: equal digests of two runs mean a shared table."""
    yield "rdpt.experiment", told.opened.experiment.name
    yield "rdpt.kind", told.configuration.kind
    for use in told.configuration.uses:
        parts = told.plan.state(use.table).parts
        role = [use.role] if use.role else []
        yield tag_key("rdpt", "parts", use.side, use.table.name, *role), contents_digest(parts)


def _params(told: Told) -> dict[str, str]:
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


def _note(told: Told) -> str:
    """Markdown for the run's page: its main numbers with their intervals. The page shows the first
    three lines until the user opens the rest."""
    configuration = told.configuration
    lines = [*_headline(told), ""]
    if configuration.kind == "arm" and configuration.seed is not None:
        lines += [
            f"One fine-tuning seed ({configuration.seed}): its numbers are conditional on "
            "this checkpoint; intervals cover questions, not seeds.",
            "",
        ]
    for side in [*told.benchmarks, "train"]:
        rows = told.results.get(side)
        if rows:
            lines += [f"### {side}", "", "| | value | 95% | n |", "|---|---|---|---|"]
            lines += [_line(row) for row in rows.values() if _is_main(row.metric)] + [""]
    if configuration.find("selection", "train"):
        num = sum(part.num_rows for part in told.parts("selection", "train"))
        lines.append(
            f"`selection/examples.jsonl` holds {min(num, MAX_EXAMPLES)} of the {num} "
            "selected traces, best first."
        )
    model = _model(told)
    if model is not None:
        lines.append(
            f"The model is `{model['path']}` in the store, with digest "
            f"`{model['digest']}`; `students/model.json` lists its files."
        )
    num_rows = sum(len(rows) for rows in told.results.values())
    lines.append(f"All {num_rows} numbers are in `results.csv`.")
    return "\n".join(lines) + "\n"


def _headline(told: Told) -> Iterator[str]:
    """A line for each benchmark."""
    for side in told.benchmarks:
        rows = told.results[side]
        if "accuracy" in rows:
            shares = [(label, rows.get(f"provenance/share/{label}")) for label in FOUR_WAY]
            more = [f"{label} {share(row)}" for label, row in shares if row is not None]
            accuracy = f"accuracy **{share(rows['accuracy'])}** {interval(rows['accuracy'])}"
            yield f"**{side.partition(':')[2]}**: {', '.join([accuracy, *more])}  "


def _is_main(metric: str) -> bool:
    main = (
        *BARE,
        *FIRST,
        "grades/lift",
        "grades/detectable_lift",
        "grades/share/",
        "provenance/share/",
        "provenance/missing",
        "pool/teacher_share",
        "selection/",
        "students/",
    )
    return metric.startswith(main)


def _line(row: Result) -> str:
    value = "-" if row.value is None else f"{row.value:,.4g}"
    return f"| {row.metric} | {value} | {interval(row)} | {row.n} |"


# ---------------------------------------------------------------------------- numbers


def _metrics(told: Told, when: int) -> list[Point]:
    """The most important first, at most 60 keys together with curves and loss."""
    seconds = sum(part.seconds for part in told.all_parts)
    # Four digits, since MLflow's table prints all digits of a number.
    first: dict[str, float | None] = {"seconds": float(f"{seconds:.4g}")}
    second: dict[str, float | None] = {}
    later: dict[str, float | None] = {}
    for side, rows in told.results.items():
        other = side in told.benchmarks[1:]
        slices = [side.partition(":")[2]] if other else []
        less = (*LESS, BY_DOMAIN) if len(domains_of([rows])) > MAX_DOMAINS else LESS
        for row in rows.values():
            if not row.metric.startswith(less):
                into = second if row.metric.startswith(FIRST) else later
                (first if row.metric in BARE else into).update(_named(row, slices))
    curved = len(SIDES) * len(FOUR_WAY) if _labelled(told) else 0
    room = MAX_METRICS - curved - len({point.key for point in _losses(told)})
    known = [(k, v) for k, v in {**first, **second, **later}.items() if v is not None]
    return [Point(key, round(value, 4), 0, when) for key, value in known[:room]]


def _named(row: Result, slices: list[str]) -> dict[str, float | None]:
    """A row's metric; `accuracy` also brings the ends of its interval."""
    levels = 2 if row.metric.startswith(BY_DOMAIN) else -1  # a domain's name may hold a slash
    key = metric_key(*row.metric.split("/", levels), *slices)
    if row.metric != "accuracy":
        return {key: row.value}
    low, high = (metric_key(f"accuracy_{end}", *slices) for end in ("low", "high"))
    return {key: row.value, low: row.low, high: row.high}


def _labelled(told: Told) -> str | None:
    """The first benchmark, if its sentences were attributed."""
    sides = told.benchmarks[:1]
    return sides[0] if sides and told.parts("provenance", sides[0]) else None


def _positions(told: Told, side: str) -> PositionCounts:
    """Labels and grades are parts of the same traces, in the same order."""
    total = PositionCounts.none()
    for labels, grades in zip(told.rows(Provenance, side), told.rows(Grade, side), strict=True):
        total = total + position_counts(labels, {g.trace_id: g.outcome for g in grades})
    return total


def _curve_points(told: Told, when: int) -> Iterator[Point]:
    """Step = sentence position, so MLflow overlays configurations by itself."""
    side = _labelled(told)
    if side is None:
        return
    found = curves(_positions(told, side), CurveRule())
    for s, which in enumerate(SIDES):
        enough = np.flatnonzero(found.num_traces[s] >= MIN_TRACES)
        for position in enough[:: -(-len(enough) // MAX_POINTS) or 1].tolist():
            for name in FOUR_WAY:
                value = float(found.share[s, position, LABELS.index(name)])
                yield Point(f"provenance/{name}/{which}", round(value, 4), position + 1, when)


def _losses(told: Told) -> Iterator[Point]:
    parts = told.parts("students", "train")
    if not parts:
        return
    record = told.plan.store.record(parts[0].table, parts[0].key)
    when = record.mtime_ns // 1_000_000 if record else 0
    for rows in told.rows(TrainingStep, "train"):
        yield from loss_points(rows, when)


# ---------------------------------------------------------------------------- things to look at


def _artifacts(told: Told) -> Iterator[tuple[str, bytes]]:
    yield "experiment.toml", told.opened.file.read_bytes()
    yield "results.csv", _table(told).encode()
    model = _model(told)
    if model is not None:
        yield "students/model.json", (json.dumps(model, indent=1) + "\n").encode()
    preview = _preview(told)
    if preview is not None:
        yield "students/preview.txt", preview
    if told.parts("selection", "train"):
        yield "selection/examples.jsonl", "".join(_examples(told)).encode()
    for side in told.benchmarks:
        if told.parts("provenance", side):
            benchmark = side.partition(":")[2]
            title = f"{told.configuration.name} on {benchmark}"
            image = figures.class_shares(_positions(told, side), title, MIN_TRACES)
            yield f"provenance/{benchmark}.png", image


def _table(told: Told) -> str:
    file = io.StringIO()
    writer = csv_writer(file.write)
    writer.writerow(field.name for field in fields(Result))
    for rows in told.results.values():
        writer.writerows(asdict(row).values() for row in rows.values())
    return file.getvalue()


def _model(told: Told) -> dict[str, Any] | None:
    """Where the trained model is, never a copy of it: the weights may be many gigabytes. The path
    starts at the folder `store/` of the workspace; hashes are xxh3_128."""
    for part in told.parts("students", "train"):
        record = told.plan.store.record(part.table, part.key)
        inside = f"{CHECKPOINT}/"
        files = record.payload.items() if record else ()
        return {
            "name": f"{told.opened.experiment.name}/{told.configuration.name}",
            "digest": part.content,
            "path": f"{part.table}/{part.key}/{CHECKPOINT}",
            "files": {
                name.removeprefix(inside): {"size": size, "hash": digest}
                for name, (size, digest) in files
                if name.startswith(inside)
            },
        }
    return None


def _preview(told: Told) -> bytes | None:
    """What the first batch of the fine-tuning looked like. Only this file of the payload is
    checked: the weights next to it may be many gigabytes."""
    for part in told.parts("students", "train"):
        record = told.plan.store.record(part.table, part.key)
        path = told.plan.store.root / part.table / part.key / "preview.txt"
        known = record.payload.get("preview.txt") if record else None
        if known and path.is_file() and file_hash(path) == known[1]:
            return path.read_bytes()
    return None


def _examples(told: Told) -> Iterator[str]:
    """JSON lines, best first."""
    picks = [pick for rows in told.rows(Pick, "train") for pick in rows]
    chosen = sorted(picks, key=lambda pick: (pick.rank, pick.trace_id))[:MAX_EXAMPLES]
    traces = _wanted(told.rows(Trace, "train"), {pick.trace_id for pick in chosen}, "trace_id")
    asked = {trace.problem_id for trace in traces.values()}
    problems = _wanted(told.rows(Problem, "train"), asked, "problem_id")
    for pick in chosen:
        trace = traces[pick.trace_id]
        line = {
            "rank": pick.rank,
            "merit": pick.merit,
            "tokens": pick.num_tokens,
            "trace_id": pick.trace_id,
            "problem": problems[trace.problem_id].prompt,
            "trace": trace.text,
        }
        yield json.dumps(line) + "\n"


def _wanted(parts: Parts[R], wanted: set[str], key: str) -> Mapping[str, R]:
    """Rows by id; no more parts are read than it takes."""
    found: dict[str, R] = {}
    for rows in parts if wanted else ():
        found |= {getattr(row, key): row for row in rows if getattr(row, key) in wanted}
        if len(found) == len(wanted):
            break
    return found


def _datasets(told: Told) -> Iterator[Dataset]:
    """The problems of each side, by the source that their rows name."""
    for side in told.configuration.sides:
        parts = told.parts("problems", side)
        if parts:
            first = next(iter(told.rows(Problem, side)))
            name = first[0].source if first else "problems"
            source = {
                "table": "problems",
                "num_rows": sum(part.num_rows for part in parts),
                "parts": [part.key for part in parts[:100]],
            }
            yield Dataset(name[:500], contents_digest(parts), side, json.dumps(source))
