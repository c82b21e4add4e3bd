"""An experiment as data frames for notebooks: pandas where it is installed, else Arrow tables.

The source is a DuckDB file: an export, or the catalogue of a workspace; both have the same tables.
Frames are long: a row per number, trace or sentence, with the name of its configuration.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import numpy as np
import pyarrow as pa

from rdpt_core.provenance.bands import (
    PlacedLabels,
    bands,
    bins_of,
    counts_at,
    positions_with,
    sides_of,
)
from rdpt_core.provenance.curves import OUTCOMES, SIDES, Ints
from rdpt_core.provenance.labels import FOUR_WAY, LABELS, THREE_WAY
from rdpt_core.tables.rows import Label

Frame: TypeAlias = Any
"""A pandas.DataFrame, or a pyarrow.Table where pandas is not installed."""

CATALOGUE = "rdpt.duckdb"
"""The catalogue of a workspace."""
SEED = 0

CONFIGURATIONS = """
    SELECT name AS configuration, teacher, student, selector, seed
    FROM main.configurations WHERE experiment = $experiment ORDER BY ALL"""
RESULTS = """
    SELECT DISTINCT c.name AS configuration, side, benchmark, metric, value, low, high, n, note
    FROM main.results JOIN main.configurations AS c USING (configuration)
    WHERE c.experiment = $experiment AND side = $side ORDER BY ALL"""
USED = """
    WITH used AS (
        SELECT DISTINCT name, coalesce(benchmark, '') AS place, "table", part
        FROM main.parts JOIN main.configurations USING (configuration)
        WHERE experiment = $experiment AND side = $side AND role IS NULL)"""
"""Parts of each configuration and benchmark; scores, which have a role, are not among the frames.
The training side has no benchmark, and a join finds no NULL."""
OF = """
    , {table} AS (
        SELECT name, place, rows.* EXCLUDE (part) FROM main.{table} AS rows
        JOIN (FROM used WHERE "table" = '{table}') USING (part))"""
TRACES = f"""
    {USED} {"".join(OF.format(table=t) for t in ("problems", "traces", "grades"))}
    SELECT name AS configuration, nullif(place, '') AS benchmark, problem_id, domain, prompt,
        answer AS gold, trace_id, sample_index, text, num_tokens, finish_reason, outcome, extracted
    FROM traces JOIN problems USING (name, place, problem_id)
    LEFT JOIN grades USING (name, place, trace_id)
    ORDER BY configuration, benchmark, problem_id, sample_index, trace_id"""
SENTENCES = f"""
    {USED} {"".join(OF.format(table=t) for t in ("traces", "grades", "sentences", "provenance"))}
    SELECT name AS configuration, nullif(place, '') AS benchmark, problem_id, trace_id, outcome,
        position, zone, decode(encode(text)[start + 1:stop]) AS sentence, label, direction, margin,
        undetermined, p_teacher, p_student, p_distilled, reason
    FROM provenance JOIN sentences USING (name, place, trace_id, position)
    JOIN traces USING (name, place, trace_id) LEFT JOIN grades USING (name, place, trace_id)
    ORDER BY configuration, benchmark, trace_id, position"""
PLACES = """
    SELECT DISTINCT configuration, benchmark FROM sentences ORDER BY configuration, benchmark"""
PLACED = """
    WITH placed AS (
        SELECT dense_rank() OVER (ORDER BY configuration, benchmark) - 1 AS place,
            dense_rank() OVER (PARTITION BY configuration, benchmark ORDER BY problem_id) - 1
                AS question,
            row_number() OVER (PARTITION BY configuration, benchmark, trace_id ORDER BY position)
                - 1 AS ordinal,
            list_position($labels, label::VARCHAR) - 1 AS label,
            coalesce(list_position($outcomes, outcome::VARCHAR), len($outcomes)) - 1 AS outcome
        FROM sentences)
    SELECT place, question, ordinal, label::BIGINT AS label, outcome::BIGINT AS outcome
    FROM placed WHERE label IS NOT NULL"""
"""A trace without an outcome is ungraded, the last of OUTCOMES."""
PLACED_COLUMNS = ("question", "ordinal", "label", "outcome")
CURVE_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("configuration", "benchmark", "label", "side")),
        ("position", pa.int64()),
        *((name, pa.float64()) for name in ("share", "low", "high")),
        ("num_traces", pa.int64()),
    ]
)
CURVE = tuple(CURVE_SCHEMA.names)


@dataclass(frozen=True, slots=True)
class Frames:
    """One side of an experiment."""

    experiment: str
    configurations: Frame
    """A row per configuration, with its teacher, student, selector and seed."""
    results: Frame
    """A row per number: `metric`, `value`, its interval `low` to `high`, `n` and a note."""
    traces: Frame
    """A row per trace: problem, text, outcome."""
    sentences: Frame
    """A row per sentence outside tags: text, label, margin and probabilities. `position` counts
    tags too, as in all tables."""


def load_frames(source: Path, experiment: str | None, side: str) -> Frames:
    """Raises ValueError for a file that is not an export or catalogue, or that has several
    experiments of which none is named."""
    file = source / CATALOGUE if source.is_dir() else source
    if not file.is_file():
        raise ValueError(f"{file} does not exist: `rdpt export NAME -o {file.name}` writes one")
    try:
        with duckdb.connect(str(file), read_only=True) as connection:
            name = _chosen(connection, file, experiment)
            parts = {"experiment": name, "side": side}
            return Frames(
                name,
                _read(connection, CONFIGURATIONS, {"experiment": name}),
                *(_read(connection, query, parts) for query in (RESULTS, TRACES, SENTENCES)),
            )
    except duckdb.CatalogException as error:
        raise ValueError(f"{file} lacks a table that `rdpt export` writes: {error}") from error


def _chosen(connection: duckdb.DuckDBPyConnection, file: Path, experiment: str | None) -> str:
    query = "SELECT DISTINCT experiment FROM main.configurations ORDER BY ALL"
    names = [str(name) for (name,) in connection.execute(query).fetchall()]
    chosen = [name for name in names if experiment in (None, name)]
    if len(chosen) != 1:
        wanted = "" if experiment is None else f" and not {experiment!r}"
        raise ValueError(
            f"{file} holds experiments {', '.join(names) or 'of no name'}{wanted}: name one of them"
        )
    return chosen[0]


def _read(connection: duckdb.DuckDBPyConnection, query: str, values: dict[str, str]) -> Frame:
    return frame(connection.sql(query, params=values).to_arrow_table())


def frame(table: pa.Table) -> Frame:
    return table.to_pandas() if find_spec("pandas") else table


# ---------------------------------------------------------------------------- curves


def curve_frame(sentences: Frame, min_traces: int) -> Frame:
    """Position curves of sentences that have the columns of Frames.sentences."""
    with duckdb.connect() as connection:
        connection.register("sentences", sentences)
        places = connection.execute(PLACES).fetchall()
        codes = {"labels": list(LABELS), "outcomes": list(OUTCOMES)}
        found = connection.execute(PLACED, codes).fetchnumpy()
        arrays = {name: np.asarray(values) for name, values in found.items()}
    columns: dict[str, list[Any]] = {name: [] for name in CURVE}
    for at, place in enumerate(places):
        kept = arrays["place"] == at
        for row in _points({name: arrays[name][kept] for name in PLACED_COLUMNS}, min_traces):
            for name, value in zip(CURVE, (*place, *row), strict=True):
                columns[name].append(value)
    return frame(pa.table(columns, CURVE_SCHEMA))


def _points(columns: Mapping[str, Ints], min_traces: int) -> Iterator[tuple[Any, ...]]:
    """Label, side, position, share, low, high, number of traces."""
    side = sides_of(columns["outcome"])
    placed = PlacedLabels(columns["question"], side, columns["ordinal"], columns["label"])
    positions = positions_with(placed, min_traces)
    num_questions = int(placed.question.max(initial=-1)) + 1
    if not positions:
        return
    bins = bins_of(positions, max(positions))
    counts = counts_at(placed, bins, num_questions, len(LABELS))
    sides = {name: bands(of_side, SEED) for name, of_side in zip(SIDES, counts, strict=True)}
    is_three_way = LABELS.index(Label.COMMON) in columns["label"]
    for label in THREE_WAY if is_three_way else FOUR_WAY:
        for name, found in sides.items():
            columns_of = [x[:, LABELS.index(label)] for x in (found.share, found.low, found.high)]
            for position, n, *values in zip(positions, found.num_traces, *columns_of, strict=True):
                if n >= min_traces:
                    yield (label, name, position, *values, n)
