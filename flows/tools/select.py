"""What `rdpt select` does: a table of sentences to its candidates, ranked within their problems."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
from pydantic import ValidationError

from rdpt_core.files.reading import open_table
from rdpt_core.files.writing import create_table
from rdpt_core.provenance.labels import LabelRule
from rdpt_core.selection.candidate_tables import NEEDS, Scorers, read_candidates
from rdpt_core.selection.candidates import CandidateRecord
from rdpt_core.selection.picks import Ranked, Selector, ranked_questions, select, total_tokens
from rdpt_core.selection.profile import token_gap
from settings.loading import BadSettings
from tasks.progress import say

SCHEMA = pa.schema(
    [
        pa.field("problem_id", pa.string(), nullable=False),
        pa.field("trace_id", pa.string(), nullable=False),
        pa.field("rank", pa.int64()),
        pa.field("merit", pa.float64()),
        pa.field("num_tokens", pa.int64(), nullable=False),
        pa.field("is_longest", pa.bool_(), nullable=False),
    ]
)


Questions = Mapping[str, list[Ranked]]


def rank(
    file: str,
    output: str,
    selector: Selector,
    beta: float,
    seed: int,
    scorers: Scorers | None,
) -> int:
    """One row per candidate, all of which are eligible; problems in the order of the file. Rank 1
    is a problem's pick; a candidate without merit has no rank either."""
    reference = Selector(name=selector.match_tokens) if selector.match_tokens else None
    wanted = [column for one in (selector, reference) if one for column in NEEDS[one.name]]
    with create_table(output) as out:
        found = read_candidates(open_table(file), wanted, LabelRule(beta=beta), scorers)
        ranked = ranked_questions(found, selector, seed)
        if reference is not None:
            _match(found, ranked, selector, reference, seed)
        out.write(_table(found, ranked))
    _report(found, ranked)
    return 0


def selector_of(name: str, match_tokens: str | None) -> Selector:
    """Raises BadSettings for an unknown name."""
    lines = []
    for option, one in (("--selector", name), ("--match-tokens", match_tokens)):
        try:
            Selector(name="longest" if one is None else one)
        except ValidationError as error:
            lines += [f"{option}: {item['ctx']['error']}" for item in error.errors()]
    if lines:
        raise BadSettings("select", lines)
    return Selector(name=name, match_tokens=match_tokens)


def scorers_of(teacher: str | None, student: str | None) -> Scorers | None:
    """None where the rows hold probabilities. Raises BadSettings for a teacher alone."""
    if student is not None:
        return Scorers(student, teacher)
    if teacher is not None:
        raise BadSettings(
            "select",
            ["--teacher needs --student: every selector counts lengths in the student's tokens"],
        )
    return None


def _match(
    found: Sequence[CandidateRecord],
    ranked: Questions,
    selector: Selector,
    reference: Selector,
    seed: int,
) -> None:
    """Puts the pick of the token-matched arm before its problem's other candidates."""
    target = total_tokens(select(found, reference, seed))
    picks = select(found, selector, seed, target_tokens=target)
    chosen = {pick.trace_id for pick in picks}
    for candidates in ranked.values():
        candidates.sort(key=lambda one: one.record.trace_id not in chosen)
    gap = token_gap(picks, target)
    if gap.note:
        say(f"rdpt: tokens are {gap.note}")


def _table(found: Sequence[CandidateRecord], ranked: Questions) -> pa.RecordBatch:
    rows = list(_rows(found, ranked))
    columns = zip(*rows, strict=True) if rows else [()] * len(SCHEMA)
    arrays = [pa.array(column, part.type) for column, part in zip(columns, SCHEMA, strict=True)]
    return pa.record_batch(arrays, schema=SCHEMA)


def _rows(found: Sequence[CandidateRecord], ranked: Questions) -> Iterator[tuple[object, ...]]:
    of_problem: dict[str, list[CandidateRecord]] = {}
    for record in found:
        of_problem.setdefault(record.problem_id, []).append(record)
    for problem, records in of_problem.items():
        best = ranked.get(problem, [])
        with_merit = {one.record.trace_id for one in best}
        rest = [Ranked(math.nan, one) for one in records if one.trace_id not in with_merit]
        most = max(record.num_tokens for record in records)
        for number, (merit, record) in enumerate([*best, *rest], start=1):
            known = number <= len(best)
            yield (
                problem,
                record.trace_id,
                number if known else None,
                merit if known else None,
                record.num_tokens,
                record.num_tokens == most,
            )


def _report(found: Sequence[CandidateRecord], ranked: Questions) -> None:
    num_problems = len({record.problem_id for record in found})
    num_without = len(found) - sum(map(len, ranked.values()))
    line = f"rdpt: {len(found)} candidates of {num_problems} problems"
    if num_without:
        line += f"; without merit {num_without}, problems without pick {num_problems - len(ranked)}"
    say(line)
