"""Planted truth: lines whose origin is known go through the stages, which must find it again."""

from __future__ import annotations

from collections import Counter

import pytest

from rdpt_core.provenance import labels
from rdpt_core.provenance.labels import LabelRule
from rdpt_core.provenance.sentence_scores import sentence_scores
from rdpt_core.tables.rows import Label, Problem, Provenance, Sentence, Trace
from rdpt_core.text.segmentation import SegmentRule, segment
from tests.core.models.planted import PLANTED, FakeGenerator, FakeScorer

ROLES = ("teacher", "student", "distilled")


def attributed(
    tables: dict[str, dict[str, float]],
) -> list[tuple[str, Label | None]]:
    """Planted origin and found label of every sentence, under scorers with these tables."""
    problems = [Problem(f"p{n}", "planted", "", "", f"question {n}", str(n)) for n in range(20)]
    traces = FakeGenerator(num_lines=8).generate(problems, 0)
    sentences = [s for t in traces for s in segment(t, SegmentRule(name="lines"))]
    scores = {r: list(FakeScorer(r, tables[r]).score(problems, traces)) for r in ROLES}
    joined = [list(sentence_scores(traces, sentences, scores[role])) for role in ROLES]
    rows = labels.provenance(joined[0], joined[1], joined[2], LabelRule(), {})
    return [(_origin(row, traces, sentences), row.label) for row in rows]


def _origin(row: Provenance, traces: list[Trace], sentences: list[Sentence]) -> str:
    text = next(t.text for t in traces if t.trace_id == row.trace_id).encode()
    (span,) = (s for s in sentences if (s.trace_id, s.position) == (row.trace_id, row.position))
    return text[span.start : span.stop].decode().split()[0]


def test_every_planted_origin_is_found_again() -> None:
    found = attributed(PLANTED)
    assert {origin.lower() for origin, _ in found} == {"teacher", "student", "shared", "boosted"}
    assert all(label is not None and label == origin.lower() for origin, label in found)


def test_one_model_in_all_roles_leaves_everything_shared() -> None:
    same = dict.fromkeys(ROLES, PLANTED["teacher"])
    assert {label for _, label in attributed(same)} == {Label.SHARED}


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_a_distilled_model_that_is_one_of_the_others_boosts_nothing(role: str) -> None:
    tables = PLANTED | {"distilled": PLANTED[role]}
    counts = Counter(label for _, label in attributed(tables))
    assert counts[Label.BOOSTED] == 0
    assert counts[Label.TEACHER] > 0
    assert counts[Label.STUDENT] > 0


@pytest.mark.parametrize(
    ("gap", "found"), [(0.05, False), (0.09, False), (0.11, True), (0.3, True)]
)
def test_a_teacher_gap_is_found_from_beta_on(gap: float, found: bool) -> None:
    tables = {
        "teacher": {"Teacher": 0.5 + gap, "Shared": 0.8},
        "student": {"Teacher": 0.5, "Shared": 0.8},
        "distilled": {"Teacher": 0.99, "Shared": 0.8},
    }
    labels = {label for origin, label in attributed(tables) if origin == "Teacher"}
    assert labels == ({Label.TEACHER} if found else {Label.BOOSTED})
