"""The planted models say what was planted."""

from __future__ import annotations

import numpy as np

from rdpt_core.tables.rows import ScoreStatus
from tests.core.models import tiny
from tests.core.models.planted import PLANTED, FakeGenerator, FakeScorer, planted_scorers


def test_a_line_has_the_probability_of_its_origin() -> None:
    trace = FakeGenerator().generate([tiny.problem()], 0)[0]
    for role, scorer in planted_scorers().items():
        row = next(iter(scorer.score([tiny.problem()], [trace])))
        assert row.token_bytes.sum() == len(trace.text.encode())
        starts = np.cumsum(row.token_bytes) - row.token_bytes
        for line in trace.text.split("\n"):
            origin = line.split(" ")[0]
            if origin not in PLANTED[role]:
                continue
            start = trace.text.index(line)
            inside = (starts >= start) & (starts < start + len(line))
            found = np.exp(row.logprobs[inside])
            np.testing.assert_allclose(found, PLANTED[role][origin], rtol=1e-6)


def test_planted_texts_repeat_and_differ_by_sample() -> None:
    first, again = (FakeGenerator(seed=3).generate([tiny.problem()], 0)[0] for _ in range(2))
    other = FakeGenerator(seed=3).generate([tiny.problem()], 1)[0]
    assert first == again
    assert first.trace_id != other.trace_id


def test_a_limited_scorer_leaves_long_traces_out() -> None:
    trace = FakeGenerator().generate([tiny.problem()], 0)[0]
    row = next(iter(FakeScorer("s", {}, limit=3).score([], [trace])))
    assert row.status is ScoreStatus.TOO_LONG
    assert (row.scored_stop, len(row.logprobs)) == (0, 0)
