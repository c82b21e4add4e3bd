"""Two arms, paired by question: what is planted is found, and intervals cover what they should."""

from __future__ import annotations

import numpy as np
import pytest

from rdpt_core.arms import (
    Counted,
    arm_difference,
    detectable_difference,
    paired_difference,
    share_difference,
    total_difference,
)
from rdpt_core.effects import Estimate, Floats, ratio, resampled_sums
from tests.core.test_effects import clusters, covers


def test_a_paired_difference_uses_common_questions_and_says_so() -> None:
    found = paired_difference({"a": 1.0, "b": 0.5, "c": 0.0}, {"a": 0.0, "b": 0.5, "d": 1.0})
    assert (found.value, found.n) == (0.5, 2)
    assert found.note == "approximate; 2 questions of one arm left out"
    assert paired_difference({"a": 1.0}, {"b": 1.0}).value is None


def test_pairing_removes_the_questions_own_difficulty() -> None:
    generator = np.random.default_rng(3)
    hard = generator.random(200)
    before = {str(i): float(p) for i, p in enumerate(hard)}
    after = {q: p + 0.1 + 0.01 * generator.standard_normal() for q, p in before.items()}
    found = paired_difference(after, before)
    assert found.low is not None
    assert found.low > 0.095


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
    one = arm_difference(runs(generator, 1, easiness), runs(generator, 1, easiness))
    assert one.note == "approximate; one seed: conditional on this checkpoint"
    two = arm_difference(runs(generator, 2, easiness), runs(generator, 3, easiness))
    assert two.note == "approximate; 2 seeds: conditional on these checkpoints"


def test_coverage_of_arms_with_three_seeds_each() -> None:
    """No true difference, but seeds that move an arm by 5 points: an interval over questions alone
    would miss it; the one that resamples seeds too must not."""
    generator = np.random.default_rng(7)
    crossed = conditional = 0
    for _ in range(100):
        easiness = generator.uniform(0.2, 0.8, 80)
        arms = runs(generator, 3, easiness), runs(generator, 3, easiness)
        crossed += covers(arm_difference(*arms, num_resamples=100), 0.0)
        conditional += covers(arm_difference(arms[0][:1], arms[1][:1]), 0.0)
    assert 0.90 <= crossed / 100 <= 1.0
    assert conditional / 100 < 0.85


# ---------------------------------------------------------------- shares


def counted(tops: Floats, bottoms: Floats) -> Counted:
    return {
        str(q): (float(a), float(b)) for q, (a, b) in enumerate(zip(tops, bottoms, strict=True))
    }


def test_a_difference_of_shares_is_that_of_the_shares_themselves() -> None:
    """Value to the last digits; interval beside a bootstrap that makes no linearisation."""
    generator = np.random.default_rng(8)
    one, other = clusters(generator, 300), clusters(generator, 300)
    found = share_difference([counted(*one)], [counted(*other)])
    assert found.value == pytest.approx((ratio(*one).value or 0) - (ratio(*other).value or 0))
    sums = resampled_sums(np.column_stack([*one, *other]), 1, 4000)
    gaps = sums[:, 0] / sums[:, 1] - sums[:, 2] / sums[:, 3]
    assert [found.low, found.high] == pytest.approx(np.percentile(gaps, [2.5, 97.5]), abs=2e-3)
    assert (found.n, found.note) == (300, "one seed: conditional on this checkpoint")


def test_pairing_removes_what_the_questions_share() -> None:
    """An arm with one Teacher sentence more in each question, of very different questions."""
    tops, bottoms = clusters(np.random.default_rng(9), 200)
    arm, against = counted(tops + 1, bottoms + 1), counted(tops, bottoms + 1)
    found = share_difference([arm], [against])
    alone = ratio(tops, bottoms + 1)
    assert width(found) < 0.3 * width(alone)
    assert found.low is not None
    assert found.low > 0


def width(one: Estimate) -> float:
    assert one.low is not None
    assert one.high is not None
    return one.high - one.low


def test_coverage_of_a_difference_of_shares() -> None:
    """Both arms' shares are 0.3 in truth; 95% nominal, standard error 1.5 points."""
    generator = np.random.default_rng(10)
    hits = sum(
        covers(share_difference(one_run(generator), one_run(generator)), 0.0) for _ in range(200)
    )
    assert 0.91 <= hits / 200 <= 0.985


def one_run(generator: np.random.Generator) -> list[Counted]:
    return [counted(*clusters(generator, 60))]


def test_a_question_without_a_sentence_stays_in_and_nothing_labelled_is_no_zero() -> None:
    some, none = {"a": (1.0, 2.0), "b": (0.0, 0.0)}, {"a": (0.0, 0.0), "b": (0.0, 0.0)}
    found = share_difference([some], [{"a": (0.0, 2.0), "b": (1.0, 2.0)}])
    assert found.value == pytest.approx(0.25)
    assert found.n == 2
    found = share_difference([some], [none])
    assert (found.value, found.n, found.note) == (None, 1, "nothing labelled")
    found = share_difference([some], [{"c": (1.0, 2.0)}])
    assert (found.value, found.n, found.note) == (None, 0, "no question in common")


def test_a_class_that_no_arm_has_is_no_certainty() -> None:
    """Whether seeds are resampled or not."""
    none: Counted = {str(q): (0.0, 3.0) for q in range(20)}
    for num_seeds in (1, 3):
        found = share_difference([none] * num_seeds, [none] * num_seeds)
        assert (found.value, found.low, found.high) == (0.0, None, None)
        assert "alike: no interval" in (found.note or "")


def test_three_seeds_of_shares_are_resampled_with_the_questions() -> None:
    """Seeds that move the share by 5 points, no true difference of the arms."""
    generator = np.random.default_rng(11)
    widths = []
    hits = 0
    for _ in range(60):
        found = share_difference(seeds(generator), seeds(generator), num_resamples=100)
        hits += covers(found, 0.0)
        widths.append(width(found))
        assert found.note == "3 and 3 seeds resampled with the questions"
    assert hits / 60 >= 0.88
    # The seeds' standard error is 0.05 (2 / 3) ** 0.5; t at 4 degrees of freedom makes 0.23 of it.
    assert 0.15 < np.median(widths) < 0.35


def seeds(generator: np.random.Generator) -> list[Counted]:
    sizes = generator.integers(5, 40, (3, 60))
    shares = np.clip(0.3 + 0.05 * generator.standard_normal((3, 1)), 0, 1)
    return [counted(*one) for one in zip(generator.binomial(sizes, shares), sizes, strict=True)]


# ---------------------------------------------------------------- totals


def test_a_difference_of_totals_is_a_sum_over_questions() -> None:
    """Of 3 questions; t quantile of .975 at 2 degrees of freedom."""
    found = total_difference({"a": 10.0, "b": 20.0}, {"a": 4.0, "c": 2.0})
    gaps = np.array([6.0, 20.0, -2.0])
    half = 4.3026527 * gaps.std(ddof=1) * 3**0.5
    assert (found.value, found.n, found.note) == (24.0, 3, "approximate")
    assert [found.low, found.high] == pytest.approx([24 - half, 24 + half])


def test_equal_totals_have_no_interval_and_none_no_value() -> None:
    assert total_difference({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 2.0}).low is None
    assert total_difference({}, {}) == Estimate(None, None, None, 0, "no question")
