"""The candidates that a few picks were preferred to.

Merits are no table, so they are computed again, of the candidates of these questions alone. Tables
of tokens are large: only the parts of these questions are opened, and DuckDB counts their tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa

from flows.configurations import Configuration
from flows.report.reader import StudyReader, Use
from rdpt_core.selection.candidates import CandidateRecord, candidates
from rdpt_core.selection.picks import Selector, ranked_questions
from rdpt_core.store.record import Part
from rdpt_core.tables import columns
from rdpt_core.tables.rows import Candidate, SentenceScore, TokenScores, Trace

R = TypeVar("R")


def runners_up(reader: StudyReader, use: Use, picks: pa.Table) -> dict[str, tuple[str, float]]:
    """Pick to the best other candidate and its merit. None where merits depend on the whole pool,
    as those of `count_length_residual` do: then the pick's own, over these questions, is another
    than the one that is kept."""
    selector = _selector_of(reader, use.configuration)
    questions = Questions.of(reader, use, picks["problem_id"].to_pylist())
    ranked = ranked_questions(questions.records(), selector, reader.opened.experiment.seed)
    found = {}
    for pick in picks.select(["trace_id", "problem_id", "merit"]).to_pylist():
        merits = {r.record.trace_id: r.merit for r in ranked.get(pick["problem_id"], [])}
        if merits.pop(pick["trace_id"], None) == pick["merit"] and merits:
            other = next(iter(merits))
            found[pick["trace_id"]] = other, merits[other]
    return found


def _selector_of(reader: StudyReader, configuration: Configuration) -> Selector:
    selectors = reader.opened.experiment.selectors
    return next(one for one in selectors if one.label == configuration.selector)


@dataclass(frozen=True)
class Questions:
    """A few questions with all of their candidates."""

    reader: StudyReader
    use: Use
    wanted: pa.Table
    """Ids of the candidates."""
    keys: frozenset[str]
    """The parts of `traces` that hold them."""

    @classmethod
    def of(cls, reader: StudyReader, use: Use, problems: Sequence[str]) -> Questions:
        parts = reader.parts(use.configuration, Trace.TABLE, use.side)
        files = reader.files(Trace, parts, named=True)
        found = reader.query(
            f"""SELECT trace_id, parse_filename(filename, true) AS key
                FROM {files} WHERE problem_id IN (SELECT problem_id FROM questions)""",
            questions=pa.table({"problem_id": pa.array(problems, pa.string())}),
        )
        return cls(reader, use, found.select(["trace_id"]), frozenset(found["key"].to_pylist()))

    def records(self) -> list[CandidateRecord]:
        return list(
            candidates(
                self._rows(Trace),
                self._rows(Candidate),
                self._rows(SentenceScore, "teacher"),
                self._rows(SentenceScore, "student"),
                self._lengths(),
                self.reader.opened.experiment.labels,
            )
        )

    def _rows(self, row: type[R], role: str | None = None) -> list[R]:
        names = ", ".join(column.name for column in columns.columns(row))
        key = ", ".join(row.KEY)  # type: ignore[attr-defined]
        sql = f"SELECT {names} FROM {self._files(row, role)} {OF_WANTED} ORDER BY {key}"
        return columns.from_arrow(row, self.reader.query(sql, wanted=self.wanted))

    def _lengths(self) -> dict[str, int]:
        """As `picks.num_student_tokens` counts them."""
        found = self.reader.query(
            f"""SELECT trace_id, num_tag_tokens
                    + len(list_filter(logprobs, lambda x: isfinite(x))) AS num_tokens
                FROM {self._files(TokenScores, "student")} {OF_WANTED}""",
            wanted=self.wanted,
        )
        ids, lengths = (found[name].to_pylist() for name in ("trace_id", "num_tokens"))
        return dict(zip(ids, lengths, strict=True))

    def _files(self, row: type, role: str | None) -> str:
        """Parts of a table that follow from those of the traces: they have their coordinates."""
        plan, configuration = self.reader.plan, self.use.configuration
        traces = configuration.find(Trace.TABLE, self.use.side)
        table = configuration.find(row.TABLE, self.use.side, role)  # type: ignore[attr-defined]
        assert traces is not None
        assert table is not None
        places = plan.state(traces).places.items()
        at = [c for c, part in places if isinstance(part, Part) and part.key in self.keys]
        found = (plan.state(table).at(coordinate) for coordinate in at)
        own = {part.key: part for part in found if isinstance(part, Part)}
        return self.reader.files(row, list(own.values()))


OF_WANTED = "WHERE trace_id IN (SELECT trace_id FROM wanted)"
