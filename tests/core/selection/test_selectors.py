"""Every selector against its formula, written out as loops over tokens and sentences."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rdpt_core import defaults
from rdpt_core.selection.candidates import CandidateRecord
from rdpt_core.selection.picks import Selector, select, total_tokens
from rdpt_core.selection.selectors import DRAWN, SELECTORS, uniform
from settings.loading import BadSettings, read_experiment
from tests.core import sample_texts as texts_of
from tests.core.sample_texts import Text, Token, drawn

BETA, SEED = 0.1, 5


def records_of(texts: list[Text]) -> list[CandidateRecord]:
    return texts_of.records_of(texts, BETA)


def count(t: Text) -> int:
    return sum(teacher - student > BETA for teacher, student in t.p())


def mean_logprob(t: Text) -> float:
    return math.fsum(x.logprob for x in t.tokens) / len(t.tokens)


def mean_entropy(t: Text) -> float:
    return math.fsum(x.entropy for x in t.tokens) / len(t.tokens)


FORMULAS: dict[str, Callable[[Text], float]] = {
    "teacher_count": count,
    "teacher_count_min": lambda t: -count(t),
    "teacher_ratio": lambda t: count(t) / len(t.student),
    "soft_count": lambda t: sum(1 / (1 + math.exp(-(a - b - BETA) / 0.05)) for a, b in t.p()),
    "mean_log_ratio": lambda t: sum(math.log(a / b) for a, b in t.p()) / len(t.student),
    "longest": lambda t: t.num_tokens,
    "shortest": lambda t: -t.num_tokens,
    "random": lambda t: uniform(SEED, t.name),
    "grape_mean": mean_logprob,
    "grape_sum": lambda t: math.fsum(x.logprob for x in t.tokens),
    "ppl": lambda t: -math.exp(-mean_logprob(t)),
    "entropy": mean_entropy,
    "entropy_min": lambda t: -mean_entropy(t),
    "rsr": lambda t: (
        -sum(min(x.rank, 100) for x in t.tokens)
        / max(math.fsum(-x.logprob for x in t.tokens), 1e-12)
    ),
}
OF_THE_POOL = {"count_length_matched", "count_length_residual"}


def test_every_selector_is_held() -> None:
    assert FORMULAS.keys() | OF_THE_POOL == SELECTORS.keys()
    assert tuple(SELECTORS) == defaults.SELECTORS


@pytest.mark.parametrize("name", FORMULAS)
def test_merit_is_the_formula_over_tokens_and_sentences(name: str) -> None:
    texts = drawn()
    merits = SELECTORS[name](records_of(texts), SEED)
    assert merits.tolist() == pytest.approx([FORMULAS[name](t) for t in texts], rel=1e-12)
    assert len(set(merits.tolist())) > 5


def test_t23_log_ratios_tell_models_apart_whose_probabilities_are_all_near_one() -> None:
    """No gap of probabilities reaches beta, although one student is ten times less sure."""
    alike, unsure = (
        Text(name, name, [[-0.005]] * 6, [[Token(logprob, 1, 0.0)]] * 6)
        for name, logprob in (("alike", -0.006), ("unsure", -0.06))
    )
    merits = {
        name: SELECTORS[name](records_of([alike, unsure]), SEED).tolist()
        for name in ("teacher_count", "mean_log_ratio")
    }
    assert merits["teacher_count"] == [0, 0]
    assert merits["mean_log_ratio"] == pytest.approx([0.001, 0.055])


def test_matched_length_is_that_of_the_random_arm_within_ten_percent() -> None:
    texts = drawn(40)
    merits = SELECTORS["count_length_matched"](records_of(texts), SEED).tolist()
    of_problem: dict[str, list[Text]] = defaultdict(list)
    for text in texts:
        of_problem[text.problem].append(text)
    num_without = 0
    for text, merit in zip(texts, merits, strict=True):
        at_random = max(of_problem[text.problem], key=lambda t: uniform(SEED, t.name)).num_tokens
        if abs(text.num_tokens - at_random) <= 0.1 * at_random:
            assert merit == count(text)
        else:
            assert math.isnan(merit)
            num_without += 1
    assert 0 < num_without < len(texts) - 40
    picks = select(records_of(texts), Selector(name="count_length_matched"), SEED)
    assert len(picks) == 40  # the random pick is always within reach


def test_residual_is_the_count_less_its_isotonic_expectation() -> None:
    """Against the min-max formula of isotonic regression (Robertson, Wright and Dykstra, 1988):
    at x, the largest over a <= x of the smallest over b >= x of the mean count from a to b."""
    texts = drawn(30)
    pairs = [(len(t.student), count(t)) for t in texts]
    lengths = sorted({n for n, _ in pairs})

    def mean_count(a: int, b: int) -> float:
        return float(np.mean([c for n, c in pairs if a <= n <= b]))

    def expected(x: int) -> float:
        return max(min(mean_count(a, b) for b in lengths if b >= x) for a in lengths if a <= x)

    merits = SELECTORS["count_length_residual"](records_of(texts), SEED)
    assert merits.tolist() == pytest.approx([c - expected(n) for n, c in pairs], abs=1e-12)
    raw = [mean_count(n, n) for n in lengths]
    assert raw != sorted(raw)  # so that there was something to pool


def test_the_order_of_the_pool_moves_no_merit() -> None:
    records = records_of(drawn())
    for formula in SELECTORS.values():
        merits = formula(records, SEED)
        np.testing.assert_array_equal(formula(records[::-1], SEED)[::-1], merits)


def test_perplexity_ranks_as_the_mean_log_probability_does() -> None:
    records = records_of(drawn())
    assert [p.trace_id for p in select(records, Selector(name="ppl"), 0)] == [
        p.trace_id for p in select(records, Selector(name="grape_mean"), 0)
    ]


# ---------------------------------------------------------------- what is missing

ANYWAY = {"longest", "shortest", "random"}


@pytest.mark.parametrize("name", sorted(SELECTORS))
def test_a_candidate_whose_numbers_are_missing_has_no_merit_and_is_no_pick(name: str) -> None:
    fine, hollow = records_of(drawn(1, 2))
    hollow = replace(
        hollow,
        complete=False,
        num_teacher=99,
        soft_count=None,
        sum_log_ratio=None,
        logprob=None,
        sum_entropy=None,
        sum_rank100=None,
        num_tokens=fine.num_tokens,
    )
    (first, last) = SELECTORS[name]([fine, hollow], SEED)
    assert not math.isnan(first)
    assert math.isnan(last) == (name not in ANYWAY)
    if name not in ANYWAY:
        assert [p.trace_id for p in select([fine, hollow], Selector(name=name), 0)] == ["0-0"]
        assert select([hollow], Selector(name=name), 0) == []


@pytest.mark.parametrize("name", ["grape_mean", "grape_sum", "ppl", "entropy", "rsr"])
def test_no_token_is_no_score_and_not_the_best_one(name: str) -> None:
    empty = CandidateRecord(
        "q", "a", "eligible", 2, 0, 0, 0, 0, logprob=0.0, sum_entropy=0.0, sum_rank100=0.0
    )
    assert math.isnan(SELECTORS[name]([empty], SEED)[0])


# ---------------------------------------------------------------- in an experiment


@pytest.mark.parametrize("name", sorted(SELECTORS))
def test_any_arm_can_match_the_tokens_of_another(name: str) -> None:
    records = records_of(drawn(60, 6))
    target = total_tokens(select(records, Selector(name="soft_count"), SEED))
    matched = Selector(name=name, match_tokens="soft_count")
    picks = select(records, matched, SEED, None, target)
    if name != "count_length_matched":  # which has no candidates far from the random length
        assert total_tokens(picks) == pytest.approx(target, rel=0.01)
    assert len(picks) == 60


def test_a_misspelt_selector_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    head = 'name = "x"\nproblems = { source = "pocket" }\ntraces = { source = "generate" }\n'
    models = 'teachers = [{ name = "t", path = "t" }]\nstudents = [{ name = "s", path = "s" }]\n'
    file.write_text(head + models + 'selectors = [{ name = "grap_mean" }, { name = "best" }]\n')
    with pytest.raises(BadSettings) as error:
        read_experiment(file)
    said = str(error.value)
    assert "selectors[0].name: 'grap_mean' is not a selector; did you mean grape_mean?" in said
    assert "selectors[1].name: 'best' is not a selector; selectors: teacher_count," in said


def test_a_draw_has_a_seed_of_its_own() -> None:
    pool = [
        CandidateRecord(f"q{q}", f"t{q}{n}", "eligible", 9, 5, 0, 1, 0)
        for q in range(40)
        for n in range(3)
    ]
    picks = {
        seed: [p.trace_id for p in select(pool, Selector(name="random", seed=seed), 7)]
        for seed in (None, 1, 2, 7)
    }
    assert picks[None] == picks[7], "without one it is the experiment's"
    assert picks[1] != picks[2]


def test_draws_of_one_selector_are_one_arm_with_names_of_their_own() -> None:
    one, other = Selector(name="random", seed=1), Selector(name="random")
    assert (one.arm, one.label) == ("random", "random_draw1")
    assert (other.arm, other.label) == ("random", "random")


@pytest.mark.parametrize("name", [name for name in SELECTORS if name not in DRAWN])
def test_a_seed_for_what_draws_nothing_is_refused(name: str) -> None:
    """And rightly: the seed moves no merit of it."""
    with pytest.raises(ValueError, match="draws nothing: leave `seed` out"):
        Selector(name=name, seed=3)
    pool = [
        CandidateRecord(
            "q", f"t{n}", "eligible", 9 + n, 5, 0, n, 0, logprob=-n - 1.0, num_scored_tokens=8
        )
        for n in range(6)
    ]
    one, other = (SELECTORS[name](pool, seed) for seed in (0, 1))
    assert np.array_equal(one, other, equal_nan=True)
