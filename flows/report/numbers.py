"""Where the numbers of a report come from: models, rules, seeds, sizes, noise, and what is unknown.

Each table begins with the names of its columns.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.report.configurations import Cast
from flows.report.reader import StudyReader
from rdpt_core.report.bundle import Shown
from rdpt_core.report.traces import NEAR
from rdpt_core.store.contents import Contents
from rdpt_core.store.record import Part
from rdpt_core.tables.rows import SentenceScore, Trace
from settings.texts import Generate

Table = list[list[str]]
DIGITS = 12
"""Digits of a digest that are shown."""


# ---------------------------------------------------------------------------- noise


@dataclass(frozen=True)
class Near:
    """Margins below which a label is undetermined, by configuration."""

    values: list[float]
    is_measured: list[bool]


def nearness(contents: Contents, cast: Cast) -> Near:
    """Twice the largest noise of the scorers behind a configuration's labels, where all of them
    were measured: a gap moves by at most twice as much as a probability."""
    noise: dict[str, float] = {}
    for row in contents.noise:
        noise[row.scorer] = max(row.p99_p, noise.get(row.scorer, 0.0))
    scorers = defaultdict(set)
    for use in contents.uses:
        if use.table == "scores" and use.scorer:
            scorers[use.configuration].add(use.scorer)
    values, known = [], []
    for configuration in cast.configurations:
        own = scorers[configuration.digest]
        known.append(bool(own) and all(scorer in noise for scorer in own))
        values.append(2 * max(noise[scorer] for scorer in own) if known[-1] else NEAR)
    return Near(values, known)


# ---------------------------------------------------------------------------- tables


def gather_numbers(
    reader: StudyReader, cast: Cast, shown: Sequence[Shown], contents: Contents, num_left_out: int
) -> dict[str, Table]:
    """Headings to tables, without those that have no row."""
    found = {
        "what is not known": [
            ["what"],
            *([line] for line in _unknown(reader, cast, shown, contents)),
        ],
        "models": [*_models(cast, contents)],
        "rules": [*_rules(reader)],
        "seeds": [*_seeds(reader)],
        "sizes": [*_sizes(shown, num_left_out)],
        "noise of the scorers": [*_noise(contents)],
        "machine": [*_machine(_all_parts(reader, cast))],
        "stages": [*_stages(reader, cast)],
    }
    return {heading: table for heading, table in found.items() if len(table) > 1}


def _models(cast: Cast, contents: Contents) -> Iterator[list[str]]:
    yield [
        "model",
        "role",
        "revision",
        "weights",
        "tokenizer",
        "template",
        "dtype",
        "how",
        "digest",
    ]
    names = {c.digest: cast.name(c) for c in cast.configurations}
    roles: dict[str, list[str]] = defaultdict(list)
    for use in contents.uses:
        if use.scorer and use.role:
            role = f"distilled: {names[use.configuration]}" if use.role == "distilled" else use.role
            if role not in roles[use.scorer]:
                roles[use.scorer].append(role)
    for row in contents.scorers:
        yield [
            _place(row.model),
            ", ".join(roles[row.scorer]) or "author",
            row.revision or "a folder",
            row.weights[:DIGITS],
            row.tokenizer[:DIGITS],
            row.contract[:DIGITS],
            " ".join(filter(None, [row.dtype, row.quantisation])),
            f"{row.backend}, {row.path}",
            row.scorer[:DIGITS],
        ]


def _place(model: str) -> str:
    """A report is mailed: of a path on this machine it shows the last folder."""
    path = Path(model)
    return f".../{path.name}" if path.is_absolute() else model


def _rules(reader: StudyReader) -> Iterator[list[str]]:
    e = reader.opened.experiment
    yield ["rule", "value"]
    yield ["segmenter", e.segmentation.name]
    yield ["alpha (shared)", f"{e.labels.alpha:g}"]
    yield ["beta (teacher, student)", f"{e.labels.beta:g}"]
    yield ["probability of a sentence", e.labels.normalisation]
    yield ["scoring", e.scoring.numerics]
    if isinstance(e.traces, Generate):
        yield ["candidates", _sampling(e.traces)]
    if e.traces is not None:
        yield ["eligible candidates", e.pool.eligible]
    for benchmark in e.benchmarks:
        how = benchmark.traces
        sampled = _sampling(how) if isinstance(how, Generate) else "imported"
        yield [f"answers to {benchmark.name}", sampled]


def _sampling(how: Generate) -> str:
    s = how.sampling
    samples = f"{how.samples} sample{'s' if how.samples > 1 else ''} a question"
    return (
        f"{samples}, temperature {s.temperature:g}, top-p {s.top_p:g}, at most "
        f"{s.max_new_tokens:,} tokens"
    )


def _seeds(reader: StudyReader) -> Iterator[list[str]]:
    e = reader.opened.experiment
    yield ["what", "seeds"]
    yield ["sampling and draws", str(e.seed)]
    if any(student.source == "train" for student in e.students):
        yield ["fine-tuning", ", ".join(map(str, e.matrix.seeds))]
    drawn = [s for s in e.selectors if s.draws and s.seed is not None]
    for selector in drawn:
        yield [f"draw {selector.label}", str(selector.seed)]


def _sizes(shown: Iterable[Shown], num_left_out: int) -> Iterator[list[str]]:
    yield ["configuration", "on", "questions", "samples", "sentences", "without a label"]
    for one in shown:
        for benchmark, numbers in one.results.items():
            if "accuracy" in numbers and "grades/num_samples" in numbers:
                missing = numbers.get("provenance/missing")
                yield [
                    one.name,
                    benchmark,
                    f"{numbers['accuracy'].n:,}",
                    _count(numbers["grades/num_samples"].value),
                    _count(numbers["provenance/num_sentences"].value)
                    if "provenance/num_sentences" in numbers
                    else "not cut",
                    f"{missing.value:.2%}" if missing and missing.value is not None else "-",
                ]
    if num_left_out:
        yield ["traces left out of this page", "", "", f"{num_left_out:,}", "", ""]


def _count(value: float | None) -> str:
    return "-" if value is None else f"{round(value):,}"


def _noise(contents: Contents) -> Iterator[list[str]]:
    yield [
        "scorer",
        "against",
        "99% of sentence probabilities within",
        "labels that turn",
        "traces",
    ]
    models = {row.scorer: _place(row.model) for row in contents.scorers}
    for row in contents.noise:
        yield [
            models.get(row.scorer, row.scorer[:DIGITS]),
            "itself"
            if row.against == row.scorer
            else models.get(row.against, row.against[:DIGITS]),
            f"{row.p99_p:.5f}",
            "-" if row.flips is None else f"{row.flips:.2%}",
            str(row.num_traces),
        ]


# ---------------------------------------------------------------------------- what is not known


def _unknown(
    reader: StudyReader, cast: Cast, shown: Sequence[Shown], contents: Contents
) -> Iterator[str]:
    yield from missing_tables(reader, cast)
    arms = [c for c in cast.configurations if c.kind == "arm" and c.seed is not None]
    if arms and len({c.seed for c in arms}) < 3:
        yield (
            "How far another fine-tuning seed would move an arm: intervals cover questions, and "
            "the numbers are conditional on these checkpoints. Three seeds or more would tell."
        )
    if any(c.find("provenance", side) for c in cast.configurations for side in c.sides):
        measured = {row.scorer for row in contents.noise}
        if any(row.scorer not in measured for row in contents.scorers):
            yield (
                "How many labels the rounding of the scorers could turn: it was not measured for "
                "every model (rdpt doctor scorer). Marks of undetermined sentences assume "
                f"{NEAR / 2:g} in each probability."
            )
    for one in shown:
        for benchmark, numbers in one.results.items():
            ungraded = numbers.get("grades/share/ungraded")
            if ungraded is not None and ungraded.value:
                yield (
                    f"If {ungraded.value:.1%} of the answers of {one.name} to {benchmark} are "
                    "correct: they were not graded, as without a gold."
                )
    for row in contents.scorers:
        if row.backend == "server":
            model = _place(row.model)
            yield f"Which weights {model} serves: it is known by its answers to fixed prompts."


def missing_tables(reader: StudyReader, cast: Cast) -> Iterator[str]:
    tables = reader.opened.study.tables()
    missing = [table for table in tables if not reader.plan.state(table).complete]
    if missing:
        names = sorted({table.name for table in missing})
        yield (
            f"All that the other {len(missing)} of {len(tables)} tables would say: the run is not "
            f"finished ({', '.join(names)})."
        )


# ---------------------------------------------------------------------------- machine and work


def _all_parts(reader: StudyReader, cast: Cast) -> list[Part]:
    found = {
        (part.table, part.key): part
        for table in reader.opened.study.tables()
        for part in reader.plan.state(table).parts
    }
    return [part for _, part in sorted(found.items())]


NOT_PACKAGES = ("threads", "scorer", "carried_out")


def _machine(parts: Iterable[Part]) -> Iterator[list[str]]:
    """Engines and packages that made the parts, from their records."""
    yield ["what", "value"]
    found: dict[str, set[str]] = defaultdict(set)
    for part in parts:
        for name, value in json.loads(part.made).items():
            if (isinstance(value, str) and name not in NOT_PACKAGES) or name == "threads":
                found[name].add(str(value))
    for name, values in sorted(found.items()):
        yield [name, ", ".join(sorted(values))]


def _stages(reader: StudyReader, cast: Cast) -> Iterator[list[str]]:
    yield ["stage", "parts", "rows", "seconds", "tokens"]
    totals: dict[str, list[float]] = defaultdict(lambda: [0, 0, 0.0])
    parts = _all_parts(reader, cast)
    for part in parts:
        for at, value in enumerate((1, part.num_rows, part.seconds)):
            totals[part.table][at] += value
    tokens = _tokens(reader, parts)
    for name in dict.fromkeys(table.name for table in reader.opened.study.tables()):
        if name in totals:
            num_parts, num_rows, seconds = totals[name]
            num_tokens = f"{tokens[name]:,}" if name in tokens else "-"
            yield [name, f"{num_parts:,}", f"{num_rows:,}", f"{seconds:.1f}", num_tokens]


def _tokens(reader: StudyReader, parts: Sequence[Part]) -> Mapping[str, int]:
    """Tokens sampled, and tokens scored: of these those within sentences."""
    found = {}
    for name, row in (("traces", Trace), ("scores", SentenceScore)):
        own = [part for part in parts if part.table == row.TABLE]
        if own:
            total = reader.query(
                f"SELECT sum(num_tokens)::BIGINT AS n FROM {reader.files(row, own)}"
            )
            found[name] = total["n"][0].as_py()
    return {name: value for name, value in found.items() if value is not None}
