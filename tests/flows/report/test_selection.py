"""What the arms picked, beside each other."""

from __future__ import annotations

from typing import Any

import pytest

from flows.report.bundle import gather
from flows.report.selection import NUM_EXAMPLES
from flows.workspace import Opened
from rdpt_core.report.bundle import Picked
from rdpt_core.selection.picks import ranked_questions
from rdpt_core.tables.rows import Candidate, Pick, Problem, SentenceScore, TokenScores, Trace
from tasks.attribution import records_of
from tasks.stage import Parts


@pytest.fixture(scope="session")
def picked(built: Opened) -> dict[str, Picked]:
    return {one.arm: one for one in gather(built).selection}


def rows_of(built: Opened, name: str, row: type, role: str | None = None) -> Parts[Any]:
    (configuration,) = [c for c in built.study.configurations() if c.name == name]
    table = configuration.find(row.TABLE, "train", role)  # type: ignore[attr-defined]
    assert table is not None
    return Parts(built.store, row, built.plan.state(table).parts)


def picks_of(built: Opened, name: str) -> list[Pick]:
    return [pick for rows in rows_of(built, name, Pick) for pick in rows]


def test_features_are_means_over_the_picks(built: Opened, picked: dict[str, Picked]) -> None:
    picks = picks_of(built, "random")
    features = picked["random"].features
    assert picked["random"].num_traces == features["tokens"].n == len(picks) > 0
    mean = sum(pick.num_tokens for pick in picks) / len(picks)
    assert features["tokens"].value == pytest.approx(mean)
    chosen = {pick.trace_id: [0.0, 0] for pick in picks}
    for rows in rows_of(built, "random", SentenceScore, "student"):
        for row in rows:
            if row.trace_id in chosen and row.logprob is not None:
                chosen[row.trace_id][0] += row.logprob
                chosen[row.trace_id][1] += row.num_tokens
    logprobs = [total / num for total, num in chosen.values() if num]
    assert features["student_logprob"].value == pytest.approx(sum(logprobs) / len(logprobs))


def test_overlap_and_domains_count_the_picks(built: Opened, picked: dict[str, Picked]) -> None:
    one, other = ({p.trace_id for p in picks_of(built, n)} for n in ("random", "teacher_count"))
    assert picked["random"].overlap == {"teacher_count": len(one & other) / len(one)}
    problems = {p.problem_id: p for rows in rows_of(built, "random", Problem) for p in rows}
    domains = [
        problems[trace.problem_id].domain
        for rows in rows_of(built, "random", Trace)
        for trace in rows
        if trace.trace_id in one
    ]
    expected = {name: domains.count(name) for name in sorted(set(domains))}
    assert picked["random"].domains == expected


@pytest.mark.parametrize("name", ["random", "teacher_count"])
def test_runners_up_are_the_next_of_their_questions(
    built: Opened, picked: dict[str, Picked], name: str
) -> None:
    experiment = built.experiment
    records = records_of(
        rows_of(built, name, Trace),
        rows_of(built, name, Candidate),
        rows_of(built, name, SentenceScore, "teacher"),
        rows_of(built, name, SentenceScore, "student"),
        rows_of(built, name, TokenScores, "student"),
        experiment.labels,
    )
    (selector,) = [s for s in experiment.selectors if s.name == name]
    ranked = ranked_questions(records, selector, experiment.seed)
    texts = {t.trace_id: t for rows in rows_of(built, name, Trace) for t in rows}
    problems = {p.problem_id: p.prompt for rows in rows_of(built, name, Problem) for p in rows}
    picks = sorted(picks_of(built, name), key=lambda pick: pick.rank)
    examples = picked[name].examples
    assert len(examples) == NUM_EXAMPLES
    for pick, example in zip(picks, examples, strict=False):
        question = texts[pick.trace_id].problem_id
        assert example["prompt"] == problems[question]
        assert example["text"] == texts[pick.trace_id].text
        assert example["merit"] == pick.merit
        others = [one for one in ranked[question] if one.record.trace_id != pick.trace_id]
        expected = (
            (texts[others[0].record.trace_id].text, others[0].merit) if others else (None, None)
        )
        assert (example["runner_up"], example["runner_up_merit"]) == expected
