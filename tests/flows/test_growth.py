"""What a grown or changed study builds: the exact list of parts, and not one more.

A part holds 32 problems; the plain study has 64 problems, 2 samples, one arm and one benchmark.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from flows.commands import compare
from flows.results.rows import DIFFERENCE, arm_means, differences, rows_of
from flows.results.tables import titled
from settings.loading import BadSettings
from tasks.plan import Plan
from tests.flows.example_experiments import BENCHMARK, PLAIN, STUDENT, Studio, studio

__all__ = ["studio"]

TRAIN = {
    "traces": 4,
    "grades": 4,
    "sentences": 4,
    "scores": 8,
    "sentence_scores": 8,
    "provenance": 4,
    "pool": 4,
    "selection": 1,
    "students": 1,
}
TEST = {
    "traces": 3,
    "grades": 3,
    "sentences": 1,
    "scores": 3,
    "sentence_scores": 3,
    "provenance": 1,
}
"""Teacher, undistilled and distilled student answer; the distilled one is attributed."""
RESULTS = {"results": 4}
RANDOM = '[[selectors]]\nname = "random"\n'
AFTER_TRAINING = {
    "students": 1,
    "traces": 1,
    "grades": 1,
    "sentences": 1,
    "scores": 3,
    "sentence_scores": 3,
    "provenance": 1,
}
"""What another selection brings about on the test side."""


def total(*counts: dict[str, int]) -> Counter[str]:
    return sum((Counter(count) for count in counts), Counter[str]())


def test_a_study_is_built_once(studio: Studio) -> None:
    assert studio.build() == total(TRAIN, TEST, RESULTS)
    assert studio.build() == Counter()


def test_one_more_sample_adds_its_parts_alone(studio: Studio) -> None:
    studio.build()
    added = {
        "traces": 2,
        "grades": 2,
        "sentences": 2,
        "scores": 4,
        "sentence_scores": 4,
        "provenance": 2,
        "pool": 2,
        "selection": 1,
    }
    assert studio.build(samples=3) == total(added, AFTER_TRAINING, {"results": 2})


@pytest.mark.parametrize("how", ["limit", "append"])
def test_twice_the_problems_add_their_parts_alone(studio: Studio, how: str) -> None:
    if how == "limit":
        studio.write_problems("problems", range(64, 192))
        studio.build()
        grown = studio.build(limit=128)
    else:
        studio.build(limit=128)
        studio.write_problems("problems", range(128))
        grown = studio.build(limit=128)
    added = {name: number for name, number in TRAIN.items() if name != "students"}
    assert grown == total(added, AFTER_TRAINING, {"results": 2})


def test_a_second_benchmark_adds_a_test_side(studio: Studio) -> None:
    studio.build()
    studio.write_problems("second", range(200, 220))
    both = PLAIN["benchmarks"] + BENCHMARK.format(name="second")
    # Results carry the digest of their configuration, which covers all benchmarks.
    assert studio.build(benchmarks=both) == total(TEST, {"results": 7})


def test_t36_a_control_is_read_by_the_same_models_and_samples_nothing(studio: Studio) -> None:
    """The teacher's and the student's answers, which the baselines sampled, under all three."""
    studio.build()
    controls = [
        BENCHMARK.format(name="bench")
        .replace("samples", f'author = "{author}", samples')
        .replace('name = "bench"', f'name = "by-{author}"')
        for author in ("teacher", "student")
    ]
    benchmarks = "".join([PLAIN["benchmarks"], *controls])
    read = {"sentences": 2, "scores": 6, "sentence_scores": 6, "provenance": 2}
    assert studio.build(benchmarks=benchmarks) == total(read, {"results": 4})
    opened = studio.open(benchmarks=benchmarks)
    baseline, arm = (c for c in opened.study.configurations() if c.name != "student")
    plan = Plan(opened.store)
    written = rows_of(arm, "test:by-teacher", plan)
    accuracy = rows_of(baseline, "test:bench", plan)["accuracy"]
    assert replace(written["accuracy"], configuration="", benchmark="") == replace(
        accuracy, configuration="", benchmark=""
    )
    assert "teacher_share" in written
    assert "grades/lift" not in written
    assert [titled(b) for b in opened.experiment.benchmarks] == [
        "bench",
        "by-teacher (written by the teacher)",
        "by-student (written by the student)",
    ]


def test_a_control_is_not_what_configurations_are_compared_by(studio: Studio) -> None:
    control = BENCHMARK.format(name="bench").replace("samples", 'author = "teacher", samples')
    with pytest.raises(BadSettings, match="'bench' is a control and comes first: move it after"):
        studio.open(benchmarks=control)


def test_two_students_have_differences_of_their_own(studio: Studio) -> None:
    """Pairs of arms are named alike under both; what they trained on is not."""
    students = PLAIN["students"] + STUDENT.format(name="other") + RANDOM
    studio.build(students=students)
    opened = studio.open(students=students)
    plan, configurations = Plan(opened.store), opened.study.configurations()
    rows = list(compare._compared(opened, "test:bench", plan))
    pairs = [
        p
        for p in compare._pairs(rows, configurations, "test:bench", plan)
        if not (p.name.endswith(("- student", "- other")))
    ]
    owners = [
        [p.difference.configuration for p in pairs if p.what == what]
        for what in ("accuracy", "tokens", "teacher")
    ]
    assert len(set(owners[0])) == 2
    assert owners[0] == owners[1] == owners[2]


def test_three_draws_of_random_are_runs_of_one_arm(studio: Studio) -> None:
    """Its mean and its differences cover the draw, on every side where it answers."""
    draws = "".join(f'[[selectors]]\nname = "random"\nseed = {seed}\n' for seed in (1, 2, 3))
    studio.build(students=PLAIN["students"] + draws)
    opened = studio.open(students=PLAIN["students"] + draws)
    plan, configurations = Plan(opened.store), opened.study.configurations()
    assert [c.name for c in configurations if c.kind == "arm"] == [
        "random_draw1",
        "random_draw2",
        "random_draw3",
        "teacher_count",
    ]
    picks = {
        table.digest for c in configurations if c.draws and (table := c.find("selection", "train"))
    }
    assert len(picks) == 3
    ((name, mean),) = arm_means(configurations, "test:bench", plan)
    assert (name, mean.n) == ("random (all runs)", 20)
    assert (mean.note or "").endswith("covers 3 draws")
    (pair,) = differences(configurations, "test:bench", plan)
    assert pair.name == "random - teacher_count"
    notes = (pair.rows[DIFFERENCE].note or "").split("; ")
    assert notes[-2:] == ["covers 3 draws", "one seed: conditional on this checkpoint"]
    (tokens,) = differences(configurations, "train", plan)
    assert tokens.rows["selection/difference/tokens"].note == "one draw of random_draw1"


def test_a_second_student_shares_all_that_is_not_its_own(studio: Studio) -> None:
    studio.build()
    both = PLAIN["students"] + STUDENT.format(name="other")
    own = {"scores": 4, "sentence_scores": 4, "provenance": 4, "pool": 4, "selection": 1}
    baseline = {"traces": 1, "grades": 1, "results": 1}
    grown = studio.build(students=both)
    assert grown == total(own, baseline, AFTER_TRAINING, {"results": 2})


def test_another_beta_scores_nothing_again(studio: Studio) -> None:
    studio.build()
    changed = studio.build(beta=0.05)
    assert changed["scores"] == changed["sentence_scores"] == changed["traces"] == 0
    assert changed["provenance"] == 5
    assert changed["selection"] == 1


def test_another_segmenter_repeats_no_model_call_but_what_a_new_selection_needs(
    studio: Studio,
) -> None:
    studio.build()
    changed = studio.build(segmenter="lines")
    assert changed["sentences"] == 5
    assert changed["traces"] == changed["scores"] == 0
