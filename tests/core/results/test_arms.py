"""Two arms, paired by question: what is planted is found, and notes say what is covered."""

from __future__ import annotations

import numpy as np
import pytest

from rdpt_core.results.arms import (
    FEW_DIFFER,
    Arm,
    Counted,
    arm_mean,
    as_counts,
    detectable_difference,
    difference,
    left_out,
    total_difference,
)
from rdpt_core.statistics.effects import CONSERVATIVE, Estimate, mean, ratio
from rdpt_core.statistics.intervals import Floats
from tests.core.statistics.test_effects import clusters


def arm(*values: dict[str, float]) -> Arm:
    """Mean correctness by question, one run each."""
    return Arm([as_counts(one) for one in values])


def covers(estimate: Estimate, truth: float) -> bool:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low <= truth <= estimate.high


def test_a_paired_difference_uses_common_questions_and_says_so() -> None:
    one, other = {"a": 1.0, "b": 0.5, "c": 0.0}, {"a": 0.0, "b": 0.5, "d": 1.0}
    found = left_out(difference(arm(one), arm(other)), as_counts(one), as_counts(other))
    assert (found.value, found.n) == (0.5, 2)
    assert (found.note or "").endswith("checkpoint; 2 questions of one arm left out")
    assert difference(arm({"a": 1.0}), arm({"b": 1.0})).value is None
    single = difference(arm({"a": 1.0}), arm({"a": 0.5}))
    assert (single.value, single.low, single.n) == (0.5, None, 1)


def test_pairing_removes_the_questions_own_difficulty() -> None:
    generator = np.random.default_rng(3)
    hard = generator.uniform(0.1, 0.9, 200)
    before = {str(i): float(p) for i, p in enumerate(hard)}
    after = {q: 0.8 * p + 0.2 + 0.01 * generator.standard_normal() for q, p in before.items()}
    found = difference(arm(after), arm(before))
    assert width(found) < 0.3 * width(mean(np.array(list(before.values()))))
    assert found.low is not None
    assert found.low > 0.08


def test_the_detectable_difference_is_detected_four_times_in_five() -> None:
    generator = np.random.default_rng(4)
    zero = {str(i): 0.0 for i in range(50)}
    sample = generator.standard_normal(50)
    sample = (sample - sample.mean()) / sample.std(ddof=1)  # spread of exactly 1
    size = detectable_difference({str(i): float(x) for i, x in enumerate(sample)}, zero).value
    assert size is not None
    draws = generator.standard_normal((4000, 50)) + size
    t = draws.mean(axis=1) / draws.std(axis=1, ddof=1) * 50**0.5
    assert (t > 2.0096).mean() == pytest.approx(0.8, abs=0.025)


def runs(
    generator: np.random.Generator, num_seeds: int, easiness: Floats
) -> list[dict[str, float]]:
    """One arm: correctness of four samples per question, each seed with a shift of its own."""
    shifts = 0.05 * generator.standard_normal(num_seeds)
    p = np.clip(easiness + shifts[:, None], 0, 1)
    table = generator.binomial(4, p) / 4
    return [{str(q): float(x) for q, x in enumerate(row)} for row in table]


def test_one_seed_is_conditional_on_its_checkpoint() -> None:
    generator = np.random.default_rng(5)
    easiness = generator.uniform(0.2, 0.8, 60)

    def of(num_seeds: int) -> Arm:
        return arm(*runs(generator, num_seeds, easiness))

    assert difference(of(1), of(1)).note == "one seed: conditional on this checkpoint"
    assert difference(of(2), of(2)).note == "2 seeds: conditional on these checkpoints"
    note = "covers 3 seeds; 2 seeds: conditional on these checkpoints"
    assert (difference(of(2), of(3)).note or "").endswith(note)
    assert (difference(of(4), of(3)).note or "").endswith("covers 4 seeds and 3 seeds")


def test_seeds_that_move_an_arm_are_covered() -> None:
    """No true difference, but seeds that move an arm by 5 points: an interval over questions alone
    misses it; the one that covers seeds does not."""
    generator = np.random.default_rng(7)
    crossed = conditional = 0
    for _ in range(200):
        easiness = generator.uniform(0.2, 0.8, 80)
        one, other = runs(generator, 3, easiness), runs(generator, 3, easiness)
        crossed += covers(difference(arm(*one), arm(*other)), 0.0)
        conditional += covers(difference(arm(one[0]), arm(other[0])), 0.0)
    assert crossed / 200 >= 0.91
    assert conditional / 200 < 0.85


# ---------------------------------------------------------------- draws


def test_the_draws_of_an_arm_are_its_runs_and_the_seeds_of_a_draw_are_averaged() -> None:
    generator = np.random.default_rng(12)
    easiness = generator.uniform(0.2, 0.8, 60)
    tables = [
        as_counts(one)
        for shift in (-0.15, 0.0, 0.15)
        for one in runs(generator, 2, easiness + shift)
    ]
    drawn = Arm(
        tables,
        (
            "random_draw1",
            "random_draw1",
            "random_draw2",
            "random_draw2",
            "random_draw3",
            "random_draw3",
        ),
    )
    other = arm(runs(generator, 1, easiness)[0])
    found = difference(other, drawn)
    assert found.note == (
        f"{CONSERVATIVE}; covers 3 draws; one seed: conditional on this checkpoint"
    )
    assert arm_mean(drawn).note == f"{CONSERVATIVE}; covers 3 draws"
    pairs = [averages(tables[n : n + 2]) for n in (0, 2, 4)]
    assert width(arm_mean(drawn)) == pytest.approx(width(arm_mean(arm(*pairs))), rel=0.02)
    # Draws that lie 15 points apart make their mean less sure than questions alone do.
    assert width(found) > 2 * width(difference(other, arm(averages(tables))))


def averages(tables: list[Counted]) -> dict[str, float]:
    return {q: float(np.mean([one[q][0] for one in tables])) for q in tables[0]}


def test_one_draw_of_random_says_so() -> None:
    easiness = np.full(400, 0.5)
    generator = np.random.default_rng(13)
    one, two = (as_counts(run) for run in runs(generator, 2, easiness))
    assert arm_mean(Arm([one], ("random",))).note == (
        "one seed: conditional on this checkpoint; one draw of random"
    )
    found = difference(Arm([one, two], ("random_draw1", "random_draw2")), Arm([one]))
    assert found.note == "one seed: conditional on this checkpoint; conditional on 2 draws"


# ---------------------------------------------------------------- shares


def counted(tops: Floats, bottoms: Floats) -> Counted:
    return {
        str(q): (float(a), float(b)) for q, (a, b) in enumerate(zip(tops, bottoms, strict=True))
    }


def test_a_difference_of_shares_is_that_of_the_shares_themselves() -> None:
    """Value to the last digits; interval beside a bootstrap of questions, at a size where that
    holds."""
    generator = np.random.default_rng(8)
    one, other = clusters(generator, 300), clusters(generator, 300)
    found = difference(Arm([counted(*one)]), Arm([counted(*other)]))
    assert found.value == pytest.approx((ratio(*one).value or 0) - (ratio(*other).value or 0))
    columns = np.column_stack([*one, *other])
    sums = np.array([columns[generator.integers(300, size=300)].sum(axis=0) for _ in range(4000)])
    gaps = sums[:, 0] / sums[:, 1] - sums[:, 2] / sums[:, 3]
    assert [found.low, found.high] == pytest.approx(np.percentile(gaps, [2.5, 97.5]), abs=5e-3)
    assert (found.n, found.note) == (300, "one seed: conditional on this checkpoint")


def test_pairing_removes_what_the_questions_share() -> None:
    """An arm with one Teacher sentence more in each question, of very different questions."""
    tops, bottoms = clusters(np.random.default_rng(9), 200)
    one, against = counted(tops + 1, bottoms + 1), counted(tops, bottoms + 1)
    found = difference(Arm([one]), Arm([against]))
    alone = ratio(tops, bottoms + 1)
    assert width(found) < 0.3 * width(alone)
    assert found.low is not None
    assert found.low > 0


def width(one: Estimate) -> float:
    assert one.low is not None
    assert one.high is not None
    return one.high - one.low


def test_a_question_without_a_sentence_stays_in_and_nothing_labelled_is_no_zero() -> None:
    some, none = {"a": (1.0, 2.0), "b": (0.0, 0.0)}, {"a": (0.0, 0.0), "b": (0.0, 0.0)}
    found = difference(Arm([some]), Arm([{"a": (0.0, 2.0), "b": (1.0, 2.0)}]))
    assert found.value == pytest.approx(0.25)
    assert found.n == 2
    found = difference(Arm([some]), Arm([none]))
    assert (found.value, found.n, found.note) == (None, 1, "nothing labelled")
    found = difference(Arm([some]), Arm([{"c": (1.0, 2.0)}]))
    assert (found.value, found.n, found.note) == (None, 0, "no question in common")


def test_a_class_that_no_arm_has_is_no_certainty() -> None:
    """The interval is wide whether or not it covers seeds."""
    none: Counted = {str(q): (0.0, 3.0) for q in range(20)}
    for num_seeds in (1, 3):
        found = difference(Arm([none] * num_seeds), Arm([none] * num_seeds))
        assert found.value == 0.0
        assert found.high == pytest.approx(-(found.low or 0))
        assert (found.high or 0) > 0.16
        assert (found.note or "").startswith(CONSERVATIVE)


def test_three_seeds_of_shares_are_covered() -> None:
    """Seeds that move the share by 5 points, no true difference of the arms."""
    generator = np.random.default_rng(11)
    widths = []
    hits = 0
    for _ in range(100):
        found = difference(Arm(seeds(generator)), Arm(seeds(generator)))
        hits += covers(found, 0.0)
        widths.append(width(found))
        assert (found.note or "").endswith("covers 3 seeds and 3 seeds")
    assert hits / 100 >= 0.9
    # The seeds' standard error is 0.05 (2 / 3) ** 0.5; t at 4 degrees of freedom makes 0.23 of it.
    assert 0.15 < np.median(widths) < 0.35


def seeds(generator: np.random.Generator) -> list[Counted]:
    sizes = generator.integers(5, 40, (3, 60))
    shares = np.clip(0.3 + 0.05 * generator.standard_normal((3, 1)), 0, 1)
    return [counted(*one) for one in zip(generator.binomial(sizes, shares), sizes, strict=True)]


# ---------------------------------------------------------------- totals


def test_a_difference_of_totals_is_a_sum_over_questions() -> None:
    """3 questions: t quantile of .975 at 2 degrees of freedom. Gaps lie to the left of their
    mean, so the upper end is further away."""
    found = total_difference({"a": 10.0, "b": 20.0}, {"a": 4.0, "c": 2.0})
    gaps = np.array([6.0, 20.0, -2.0])
    half = 4.3026527 * gaps.std(ddof=1) * 3**0.5
    assert (found.value, found.n, found.note) == (24.0, 3, FEW_DIFFER)
    assert found.low == pytest.approx(24 - half)
    assert (found.high or 0) > 24 + half


def test_equal_totals_have_no_interval_and_none_no_value() -> None:
    assert total_difference({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 2.0}).low is None
    assert total_difference({}, {}) == Estimate(None, None, None, 0, "no question")
