"""What each arm picked for training: its lengths, shares and domains, the overlap with other arms,
and its first picks next to the candidates that they were preferred to.

Token scores are never read as rows: of the few questions that are shown, DuckDB counts them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flows.configurations import Configuration
from flows.report.configurations import Cast
from flows.report.reader import TRAIN, StudyReader, Use
from flows.report.runners_up import runners_up
from flows.results.rows import rows_of
from rdpt_core.report.bundle import Number, Picked
from rdpt_core.statistics.effects import limits_note
from rdpt_core.statistics.intervals import mean_limits
from rdpt_core.tables.rows import Pick, Problem, SentenceScore, Trace

NUM_EXAMPLES = 5
MAX_TEXT = 6_000
"""Characters of an example; a trace may have a million."""
CUT = " [...]"


@dataclass(frozen=True)
class Selection:
    """One arm's picks."""

    use: Use
    name: str
    picks: pa.Table
    """With the problem, domain and student's log-probability of each, best first."""


def gather_selections(reader: StudyReader, cast: Cast) -> list[Picked]:
    found = list(_selections(reader, cast))
    chosen = {one.name: set(one.picks["trace_id"].to_pylist()) for one in found}
    return [_picked(reader, one, chosen) for one in found]


def _selections(reader: StudyReader, cast: Cast) -> Iterator[Selection]:
    """Each once, though several fine-tuning seeds train on it."""
    seen = set()
    for configuration in cast.configurations:
        parts = reader.parts(configuration, Pick.TABLE, TRAIN)
        table = configuration.find(Pick.TABLE, TRAIN)
        if table is None or not parts or table.digest in seen:
            continue
        seen.add(table.digest)
        use = Use(configuration, TRAIN, 0, 0)
        yield Selection(use, _name(cast, configuration), _picks(reader, use))


def _name(cast: Cast, configuration: Configuration) -> str:
    arms = [c for c in cast.configurations if c.selector]
    several = [
        name
        for name, values in (
            (configuration.student, {c.student for c in arms}),
            (configuration.teacher, {c.teacher for c in arms}),
        )
        if name and len(values) > 1
    ]
    return "-".join([configuration.selector or "", *several])


def _picks(reader: StudyReader, use: Use) -> pa.Table:
    return reader.query(f"""
        WITH student AS (
            SELECT trace_id, list(logprob ORDER BY position) AS logprobs,
                sum(scores.num_tokens) AS num_scored
            FROM {reader.relation(SentenceScore, use, "student")} AS scores
            JOIN {reader.relation(Pick, use)} AS picks USING (trace_id) GROUP BY trace_id),
        problems AS (SELECT DISTINCT ON (problem_id) problem_id, domain
            FROM {reader.relation(Problem, use)} ORDER BY problem_id, domain)
        SELECT picks.trace_id, problem_id, rank, merit, picks.num_tokens, domain, student.logprobs,
            num_scored
        FROM {reader.relation(Pick, use)} AS picks
        JOIN {reader.relation(Trace, use)} AS traces USING (trace_id)
        LEFT JOIN problems USING (problem_id) LEFT JOIN student USING (trace_id)
        ORDER BY rank, picks.trace_id""")


def _picked(reader: StudyReader, one: Selection, chosen: Mapping[str, set[str]]) -> Picked:
    own = chosen[one.name]
    domains = Counter(name or "no domain" for name in one.picks["domain"].to_pylist())
    return Picked(
        arm=one.name,
        num_traces=one.picks.num_rows,
        features=_features(reader, one),
        domains=dict(sorted(domains.items())),
        overlap={
            name: len(own & other) / len(own)
            for name, other in chosen.items()
            if name != one.name and own
        },
        examples=list(_examples(reader, one)),
    )


# ---------------------------------------------------------------------------- numbers


def _features(reader: StudyReader, one: Selection) -> dict[str, Number]:
    """Means over picks; a pick is a question."""
    found = {"tokens": _mean(one.picks["num_tokens"].to_numpy().astype(np.float64))}
    rows = rows_of(one.use.configuration, TRAIN, reader.plan)
    share = rows.get("selection/teacher_share")
    if share is not None:
        found["teacher_share"] = Number(share.value, share.low, share.high, share.n, share.note)
    found["student_logprob"] = _mean(np.array(list(_logprobs(one.picks)), dtype=np.float64))
    return found


def _logprobs(picks: pa.Table) -> Iterator[float]:
    """Nats a token of each pick that the student scored in full."""
    for logprobs, num in zip(
        picks["logprobs"].to_pylist(), picks["num_scored"].to_pylist(), strict=True
    ):
        known = [value for value in logprobs or [] if value is not None]
        if known and num:
            yield sum(known) / float(num)


def _mean(values: NDArray[np.float64]) -> Number:
    n = len(values)
    if n == 0:
        return Number(None, None, None, 0, None)
    value = float(values.mean())
    if n == 1 or values.min() == values.max():
        return Number(value, None, None, n, "all alike: no interval" if n > 1 else None)
    limits = mean_limits(values[:, None])
    return Number(value, float(limits.low[0]), float(limits.high[0]), n, limits_note(limits))


# ---------------------------------------------------------------------------- examples


def _examples(reader: StudyReader, one: Selection) -> Iterator[dict[str, str | float | None]]:
    """The first picks, each with the best other candidate of its question."""
    first = one.picks.slice(0, NUM_EXAMPLES)
    problems = first["problem_id"].to_pylist()
    texts, prompts = _texts(reader, one.use, problems), _prompts(reader, one.use, problems)
    others = runners_up(reader, one.use, first)
    for pick in first.select(["trace_id", "problem_id", "merit"]).to_pylist():
        other, merit = others.get(pick["trace_id"], (None, None))
        yield {
            "prompt": prompts.get(pick["problem_id"], ""),
            "text": _short(texts[pick["trace_id"]]),
            "merit": pick["merit"],
            "runner_up": _short(texts[other]) if other else None,
            "runner_up_merit": merit,
        }


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + CUT


def _texts(reader: StudyReader, use: Use, problems: Sequence[str]) -> dict[str, str]:
    """The text of every candidate of the questions."""
    rows = reader.query(
        f"""SELECT trace_id, text FROM {reader.relation(Trace, use)}
            WHERE problem_id IN (SELECT problem_id FROM wanted)""",
        wanted=pa.table({"problem_id": pa.array(problems, pa.string())}),
    )
    return dict(zip(rows["trace_id"].to_pylist(), rows["text"].to_pylist(), strict=True))


def _prompts(reader: StudyReader, use: Use, problems: Sequence[str]) -> dict[str, str]:
    rows = reader.query(
        f"""SELECT problem_id, prompt FROM {reader.relation(Problem, use)}
            WHERE problem_id IN (SELECT problem_id FROM wanted)""",
        wanted=pa.table({"problem_id": pa.array(problems, pa.string())}),
    )
    return dict(zip(rows["problem_id"].to_pylist(), rows["prompt"].to_pylist(), strict=True))
