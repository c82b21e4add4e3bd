"""What students were trained on: the traces of each selection, with the labels of their sentences.

The page follows a sentence of an answer back to them, as `rdpt lineage` does. All of them would not
fit into a page, so the best of each selection are kept, and the numbers count all.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from flows.configurations import Configuration
from flows.report.configurations import Cast
from flows.report.reader import TRAIN, StudyReader, Use, codes
from rdpt_core.provenance.labels import LABELS
from rdpt_core.report.bundle import LearntTrace, Training
from rdpt_core.tables.rows import Candidate, Pick, Problem, Provenance, Sentence, Trace, ZoneKind

MAX_BYTES = 3_000_000
"""The most that the texts of all selections together may take."""


def gather_training(reader: StudyReader, cast: Cast) -> list[Training]:
    """One for each selection that a student was trained on."""
    found: dict[str, tuple[Configuration, list[int]]] = {}
    for index, configuration in enumerate(cast.configurations):
        selection = configuration.find(Pick.TABLE, TRAIN)
        if selection is not None and reader.parts(configuration, "students", TRAIN):
            found.setdefault(selection.digest, (configuration, []))[1].append(index)
    room = MAX_BYTES // max(len(found), 1)
    return [_training(reader, Use(one, TRAIN, 0, 0), who, room) for one, who in found.values()]


def _training(reader: StudyReader, use: Use, configurations: list[int], room: int) -> Training:
    picks = _picks(reader, use)
    questions = {row["problem_id"]: row for row in picks.to_pylist()}
    kept = _kept(reader, use, picks, room)
    sentences = _sentences(reader, use, kept)
    return Training(
        configurations=configurations,
        num_traces=picks.num_rows,
        num_questions=len(questions),
        num_candidates=sum(row["num_candidates"] for row in questions.values()),
        num_sentences=_labels(reader, use, picks),
        traces=[_trace(row, sentences) for row in kept.to_pylist()],
    )


def _trace(row: Mapping[str, object], sentences: Mapping[str, list[dict[str, int]]]) -> LearntTrace:
    fields = {name: row[name] for name in LearntTrace.__slots__ if name != "sentences"}
    text = str(row["text"]).encode()
    cut = [
        (one["label"], text[one["start"] : one["stop"]].decode())
        for one in sentences.get(str(row["trace_id"]), ())
    ]
    return LearntTrace(**fields, sentences=cut)  # type: ignore[arg-type]


def _picks(reader: StudyReader, use: Use) -> pa.Table:
    """Every pick with its question, best first."""
    return reader.query(f"""
        WITH texts AS (SELECT trace_id, problem_id FROM {reader.relation(Trace, use)}),
        candidates AS (
            SELECT problem_id, count(*) AS num_candidates,
                count(*) FILTER (eligible) AS num_eligible
            FROM {reader.relation(Candidate, use)} AS pool JOIN texts USING (trace_id)
            GROUP BY problem_id)
        SELECT trace_id, problem_id, rank, merit, num_tokens, num_candidates, num_eligible
        FROM {reader.relation(Pick, use)} AS selection JOIN texts USING (trace_id)
        JOIN candidates USING (problem_id) ORDER BY rank, trace_id""")


def _kept(reader: StudyReader, use: Use, picks: pa.Table, room: int) -> pa.Table:
    """The best picks whose texts take no more than `room` bytes, with text and prompt."""
    return reader.query(
        f"""
        WITH problems AS (SELECT DISTINCT ON (problem_id) problem_id, prompt
            FROM {reader.relation(Problem, use)} ORDER BY problem_id, prompt)
        SELECT picks.*, prompt, text
        FROM picks JOIN {reader.relation(Trace, use)} AS traces USING (trace_id)
        JOIN problems ON problems.problem_id = picks.problem_id
        QUALIFY sum(strlen(text)) OVER (ORDER BY rank, trace_id) <= {room}
        ORDER BY rank, trace_id""",
        picks=picks,
    )


def _sentences(reader: StudyReader, use: Use, kept: pa.Table) -> dict[str, list[dict[str, int]]]:
    """Spans and labels of the sentences of each trace, in order."""
    rows = reader.query(
        f"""
        SELECT trace_id, list({{start: start, stop: stop,
            label: {codes("label", LABELS)}::UTINYINT}} ORDER BY position) AS sentences
        FROM {reader.relation(Sentence, use)} AS sentences
        LEFT JOIN {reader.relation(Provenance, use)} AS labels USING (trace_id, position)
        WHERE zone <> '{ZoneKind.TAG}' AND trace_id IN (SELECT trace_id FROM kept)
        GROUP BY trace_id""",
        kept=kept.select(["trace_id"]),
    )
    return dict(zip(rows["trace_id"].to_pylist(), rows["sentences"].to_pylist(), strict=True))


def _labels(reader: StudyReader, use: Use, picks: pa.Table) -> dict[str, int]:
    rows = reader.query(
        f"""
        SELECT label, count(*) AS num FROM {reader.relation(Provenance, use)}
        WHERE label IS NOT NULL AND trace_id IN (SELECT trace_id FROM picks)
        GROUP BY label ORDER BY label""",
        picks=picks.select(["trace_id"]),
    )
    return dict(zip(rows["label"].to_pylist(), rows["num"].to_pylist(), strict=True))
