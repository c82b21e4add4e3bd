"""The texts of a report with their sentences, as columns.

A configuration that cut no sentences, such as a baseline, is shown zone by zone. A page holds so
many sentences that it opens at once: of more, questions are left out, with all that was answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flows.report.reader import StudyReader, Use, codes
from rdpt_core.provenance.curves import OUTCOMES
from rdpt_core.provenance.labels import DIRECTIONS, LABELS, NO_TOKENS
from rdpt_core.report.bundle import Question, Sentences, Traces
from rdpt_core.tables.rows import (
    Grade,
    Outcome,
    Problem,
    Provenance,
    ScoreStatus,
    Sentence,
    SentenceScore,
    Trace,
    ZoneKind,
)

MAX_SENTENCES = 150_000
MAX_BYTES = 30_000_000
"""The most that all texts together may take."""
NOT_ATTRIBUTED = "not attributed"
REASONS = (ScoreStatus.PARTIAL, ScoreStatus.TOO_LONG, ScoreStatus.ERROR, NO_TOKENS, NOT_ATTRIBUTED)
NONE = 255
MAX_TOKENS = 65_535


class ReportTexts(NamedTuple):
    questions: list[Question]
    traces: Traces
    sentences: Sentences
    text: bytes
    num_left_out: int
    """Traces."""


def gather_texts(reader: StudyReader, uses: Sequence[Use]) -> ReportTexts:
    listed = [_listed(reader, use) for use in uses]
    questions = _questions(reader, uses)
    kept = _kept_questions(listed, questions)
    index = {key: number for number, key in enumerate(kept)}
    chosen = [_chosen(rows, use, index) for rows, use in zip(listed, uses, strict=True)]
    cut = [_cut(reader, use, rows) for use, rows in zip(uses, chosen, strict=True)]
    texts = [_texts(reader, use, rows) for use, rows in zip(uses, chosen, strict=True)]
    num_kept = sum(rows.num_rows for rows in chosen)
    return ReportTexts(
        [questions[key] for key in kept],
        _traces(uses, chosen, cut, [len(one) for rows in texts for one in rows]),
        _sentences(cut),
        b"".join(one for rows in texts for one in rows),
        sum(rows.num_rows for rows in listed) - num_kept,
    )


# ---------------------------------------------------------------------------- which traces

Key = tuple[int, str]
"""Benchmark and problem."""


def _listed(reader: StudyReader, use: Use) -> pa.Table:
    """A row for each trace, without its text."""
    return reader.query(f"""
        WITH cut AS (
            SELECT trace_id, count(*) AS num FROM {reader.relation(Sentence, use)}
            GROUP BY trace_id)
        SELECT trace_id, problem_id, sample_index, finish_reason, extracted,
            {codes("outcome", OUTCOMES, OUTCOMES.index(Outcome.UNGRADED))}::UTINYINT AS outcome,
            coalesce(num, len(zones)) AS num_sentences, strlen(text) AS num_bytes
        FROM {reader.relation(Trace, use)} AS traces
        LEFT JOIN {reader.relation(Grade, use)} AS grades USING (trace_id)
        LEFT JOIN cut USING (trace_id)
        ORDER BY problem_id, sample_index, trace_id""")


def _questions(reader: StudyReader, uses: Sequence[Use]) -> dict[Key, Question]:
    """By benchmark, then id; those of imports may come from several tables."""
    found: dict[Key, Question] = {}
    for benchmark in sorted({use.benchmark for use in uses}):
        parts = {
            part.key: part
            for use in uses
            if use.benchmark == benchmark
            for part in reader.parts(use.configuration, Problem.TABLE, use.side)
        }
        rows = reader.query(f"""
            SELECT DISTINCT ON (problem_id) problem_id, prompt, answer, domain
            FROM {reader.files(Problem, list(parts.values()))}
            ORDER BY problem_id, prompt, answer, domain""")
        for row in rows.to_pylist():
            found[benchmark, row["problem_id"]] = Question(
                benchmark, row["problem_id"], row["prompt"], row["answer"], row["domain"] or None
            )
    return found


def _kept_questions(listed: Iterable[pa.Table], questions: dict[Key, Question]) -> list[Key]:
    """Those that have a trace, as many as the page has room for. Ids are digests, so their order
    draws without regard to anything else."""
    ids, costs = [], []
    for rows in listed:
        ids += rows["problem_id"].to_pylist()
        costs.append(
            np.maximum(
                rows["num_sentences"].to_numpy() / MAX_SENTENCES,
                rows["num_bytes"].to_numpy() / MAX_BYTES,
            )
        )
    total: dict[str, float] = {}
    for problem, cost in zip(ids, np.concatenate([[], *costs]).tolist(), strict=True):
        total[problem] = total.get(problem, 0.0) + cost
    order = sorted(total)
    room = np.cumsum([total[problem] for problem in order]) <= 1
    kept = {problem for problem, fits in zip(order, room, strict=True) if fits} or set(order[:1])
    return [key for key in questions if key[1] in kept]


def _chosen(rows: pa.Table, use: Use, index: dict[Key, int]) -> pa.Table:
    """The traces of the questions that are kept, numbered in the order of the page."""
    question = [
        index.get((use.benchmark, problem), -1) for problem in rows["problem_id"].to_pylist()
    ]
    rows = rows.append_column("question", pa.array(question, pa.int64()))
    rows = rows.filter(pa.array([number >= 0 for number in question], pa.bool_()))
    rows = rows.sort_by([(name, "ascending") for name in ("question", "sample_index", "trace_id")])
    return rows.append_column("number", pa.array(np.arange(rows.num_rows), pa.int64()))


# ---------------------------------------------------------------------------- columns


def _cut(reader: StudyReader, use: Use, chosen: pa.Table) -> pa.Table:
    """A row for each sentence or tag, in the order of the page."""
    kept = chosen.select(["trace_id", "number"])
    if not reader.parts(use.configuration, Sentence.TABLE, use.side):
        return _zones(reader, use, kept)
    zone = codes("zone", list(ZoneKind))
    return reader.query(
        f"""
        SELECT number, start, stop, {zone}::UTINYINT AS zone,
            {codes("label", LABELS)}::UTINYINT AS label,
            {codes("direction", DIRECTIONS)}::UTINYINT AS direction,
            p_teacher, p_student, p_distilled, margin,
            CASE WHEN teacher.logprob IS NULL THEN 0 ELSE teacher.num_tokens END AS num_tokens,
            CASE WHEN zone = '{ZoneKind.TAG}' OR label IS NOT NULL THEN {NONE}
                 ELSE {codes("reason", REASONS, REASONS.index(NOT_ATTRIBUTED))} END::UTINYINT
                 AS reason
        FROM kept JOIN {reader.relation(Sentence, use)} AS sentences USING (trace_id)
        LEFT JOIN {reader.relation(Provenance, use)} AS labels USING (trace_id, position)
        LEFT JOIN {reader.relation(SentenceScore, use, "teacher")} AS teacher
            USING (trace_id, position)
        ORDER BY number, position""",
        kept=kept,
    )


def _zones(reader: StudyReader, use: Use, kept: pa.Table) -> pa.Table:
    reason = REASONS.index(NOT_ATTRIBUTED)
    return reader.query(
        f"""
        WITH zones AS (
            SELECT number, unnest(zones) AS zone
            FROM kept JOIN {reader.relation(Trace, use)} USING (trace_id))
        SELECT number, zone.start AS start, zone.stop AS stop,
            {codes("zone.kind", list(ZoneKind))}::UTINYINT AS zone,
            {NONE}::UTINYINT AS label, {NONE}::UTINYINT AS direction,
            NULL::DOUBLE AS p_teacher, NULL::DOUBLE AS p_student, NULL::DOUBLE AS p_distilled,
            NULL::DOUBLE AS margin, 0::BIGINT AS num_tokens,
            (CASE WHEN zone.kind = '{ZoneKind.TAG}' THEN {NONE} ELSE {reason} END)::UTINYINT
                AS reason
        FROM zones ORDER BY number, start""",
        kept=kept,
    )


def _texts(reader: StudyReader, use: Use, chosen: pa.Table) -> list[bytes]:
    rows = reader.query(
        f"""
        SELECT encode(text) AS text
        FROM kept JOIN {reader.relation(Trace, use)} USING (trace_id) ORDER BY number""",
        kept=chosen.select(["trace_id", "number"]),
    )
    found: list[bytes] = rows["text"].to_pylist()
    return found


def _traces(
    uses: Sequence[Use], chosen: Sequence[pa.Table], cut: Sequence[pa.Table], sizes: list[int]
) -> Traces:
    counts = [
        np.bincount(_numpy(rows, "number").astype(np.int64), minlength=traces.num_rows)
        for rows, traces in zip(cut, chosen, strict=True)
    ]
    shown = [
        use.shown for use, rows in zip(uses, chosen, strict=True) for _ in range(rows.num_rows)
    ]
    return Traces(
        configuration=np.array(shown, np.uint16),
        question=_joined(chosen, "question", np.uint32),
        sample=_joined(chosen, "sample_index", np.uint16),
        outcome=_joined(chosen, "outcome", np.uint8),
        first_sentence=_ends(np.concatenate([[], *counts])).astype(np.uint32),
        first_byte=_ends(np.array(sizes)).astype(np.uint64),
        trace_id=_listing(chosen, "trace_id"),
        extracted=_listing(chosen, "extracted"),
        finish=_listing(chosen, "finish_reason"),
    )


def _sentences(cut: Sequence[pa.Table]) -> Sentences:
    p = [_joined(cut, f"p_{role}", np.float32) for role in ("teacher", "student", "distilled")]
    return Sentences(
        start=_joined(cut, "start", np.uint32),
        stop=_joined(cut, "stop", np.uint32),
        zone=_joined(cut, "zone", np.uint8),
        label=_joined(cut, "label", np.uint8),
        direction=_joined(cut, "direction", np.uint8),
        p=np.stack(p, axis=1),
        margin=_joined(cut, "margin", np.float32),
        num_tokens=np.minimum(_joined(cut, "num_tokens", np.int64), MAX_TOKENS).astype(np.uint16),
        reason=_joined(cut, "reason", np.uint8),
    )


def _numpy(rows: pa.Table, name: str) -> NDArray[Any]:
    """NULL among numbers is NaN."""
    found: NDArray[Any] = rows[name].to_numpy()
    return found


def _joined(tables: Iterable[pa.Table], name: str, kind: type) -> NDArray[Any]:
    return np.concatenate([np.empty(0, kind), *(_numpy(t, name).astype(kind) for t in tables)])


def _listing(tables: Iterable[pa.Table], name: str) -> list[Any]:
    return [value for rows in tables for value in rows[name].to_pylist()]


def _ends(sizes: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([[0], np.cumsum(sizes)])
