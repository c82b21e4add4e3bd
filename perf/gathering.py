"""Seconds to gather a report from Parquet files, on the random traces of `report.py`.

    .venv/bin/python perf/gathering.py [--sentences 150000]

Each configuration is one use with a file for each of its tables, as the store has them; what a plan
or a catalogue costs is not in it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from report import bundle

from flows.report.curves import gather_curves
from flows.report.reader import StudyReader, Use
from flows.report.telling import telling
from flows.report.traces import gather_texts
from rdpt_core.report.bundle import Bundle
from rdpt_core.store.record import Part
from rdpt_core.tables import columns
from rdpt_core.tables.rows import (
    Grade,
    Problem,
    Provenance,
    Sentence,
    SentenceScore,
    Trace,
)

T = TypeVar("T")
ZONES = ("tag", "thought", "answer")
DIRECTIONS = ("up", "between", "down")
TABLES: tuple[type, ...] = (Problem, Trace, Grade, Sentence, Provenance, SentenceScore)


class FolderReader(StudyReader):
    """Reads `TABLE-CONFIGURATION.parquet` in place of parts."""

    def __init__(self, folder: Path, connection: duckdb.DuckDBPyConnection) -> None:
        super().__init__(SimpleNamespace(), connection)  # type: ignore[arg-type]
        self._folder = folder

    def parts(
        self, configuration: Any, table: str, side: str, role: str | None = None
    ) -> tuple[Part, ...]:
        return (Part(table, f"{table}-{configuration}", "", 0, 0.0, 0),)

    def _file(self, part: Part) -> str:
        return str(self._folder / f"{part.key}.parquet")


def write_tables(folder: Path, made: Bundle) -> list[Use]:
    shown = np.unique(made.traces.configuration).tolist()
    uses = []
    for number in shown:
        rows = _columns_of(made, number)
        for row in TABLES:
            schema = columns.schema(row)
            own = rows[row.TABLE]  # type: ignore[attr-defined]
            size = len(next(iter(own.values())))
            arrays = [pa.array(own.get(f.name, [None] * size), f.type) for f in schema]
            table = pa.Table.from_arrays(arrays, names=schema.names)
            name = f"{row.TABLE}-{number}.parquet"  # type: ignore[attr-defined]
            pq.write_table(table, folder / name, compression="zstd")
        uses.append(Use(number, "test:bench", number, 0))
    return uses


def _columns_of(made: Bundle, number: int) -> dict[str, dict[str, list[Any]]]:
    traces, s = made.traces, made.sentences
    own = np.flatnonzero(traces.configuration == number).tolist()
    ids = [traces.trace_id[i] for i in own]
    questions = [made.questions[traces.question[i]] for i in own]
    spans = [traces.first_sentence[i : i + 2].tolist() for i in own]
    at = np.concatenate([np.arange(a, b) for a, b in spans])
    position = np.concatenate([np.arange(b - a) for a, b in spans])
    owner = [name for name, (a, b) in zip(ids, spans, strict=True) for _ in range(b - a)]
    texts = [made.text[slice(*traces.first_byte[i : i + 2])].decode() for i in own]
    labelled = s.zone[at] != 0
    kept = at[labelled]
    keys = {
        "trace_id": [name for name, keep in zip(owner, labelled, strict=True) if keep],
        "position": position[labelled].tolist(),
    }
    return {
        "problems": {
            "problem_id": [q.problem_id for q in questions],
            "prompt": [q.prompt for q in questions],
            "domain": [q.domain for q in questions],
            "answer": [q.gold for q in questions],
        },
        "traces": {
            "trace_id": ids,
            "problem_id": [q.problem_id for q in questions],
            "sample_index": [0] * len(ids),
            "text": texts,
            "zones": [[]] * len(ids),
            "finish_reason": [traces.finish[i] for i in own],
        },
        "grades": {
            "trace_id": ids,
            "outcome": [made.outcomes[traces.outcome[i]] for i in own],
            "extracted": [traces.extracted[i] for i in own],
        },
        "sentences": {
            "trace_id": owner,
            "position": position.tolist(),
            "start": s.start[at].tolist(),
            "stop": s.stop[at].tolist(),
            "zone": [ZONES[code] for code in s.zone[at]],
        },
        "provenance": {
            **keys,
            "label": [None if c == 255 else made.labels[c] for c in s.label[kept]],
            "direction": [None if c == 255 else DIRECTIONS[c] for c in s.direction[kept]],
            **{
                f"p_{role}": pa.array(s.p[kept, n].astype(float), from_pandas=True)
                for n, role in enumerate(("teacher", "student", "distilled"))
            },
            "margin": pa.array(s.margin[kept].astype(float), from_pandas=True),
            "reason": ["partial" if c == 0 else None for c in s.reason[kept]],
        },
        "sentence_scores": {
            **keys,
            "logprob": [-1.0] * len(kept),
            "num_tokens": s.num_tokens[kept].tolist(),
        },
    }


def _timed(name: str, act: Callable[[], T]) -> T:
    start = time.perf_counter()
    found = act()
    print(f"{name}: {time.perf_counter() - start:.1f} s")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=int, default=150_000)
    made = bundle(parser.parse_args().sentences)
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(config={"threads": 1}) as sql:
        uses = write_tables(Path(folder), made)
        reader = FolderReader(Path(folder), sql)
        texts = _timed("texts and sentences", lambda: gather_texts(reader, uses))
        _timed("curves", lambda: gather_curves(reader, uses))
        _timed("telling", lambda: telling(texts.traces, texts.sentences, texts.text))
    print(f"{len(texts.sentences.start):,} sentences of {len(uses)} configurations")


if __name__ == "__main__":
    main()
