"""Pocket problems are the same everywhere, are solved exactly, and their splits share nothing."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable

import pytest

from rdpt_core.pocket.problems import NAMES, WordProblem, bucket, problems
from rdpt_core.pocket.relations import RELATIONS

# What a story says, read without the generator's code: a pattern, and the amount that follows.
# Groups: o the one who gets an amount, s and t whose amounts it depends on, a and b stated numbers.
N = "(?:apples|coins|books|cards|pens|shells|eggs|beads)"
READINGS: tuple[tuple[str, Callable[..., float]], ...] = (
    (rf"(?P<o>\w+) (?:has|starts with) (?P<a>\d+) {N}\.", lambda a, b, s, t: a),
    (rf"(?P<o>\w+) has (?P<a>\d+) more {N} than (?P<s>\w+)\.", lambda a, b, s, t: s + a),
    (rf"(?P<o>\w+) has as many {N} as (?P<s>\w+) and (?P<a>\d+) more\.", lambda a, b, s, t: s + a),
    (rf"(?P<o>\w+) has (?P<a>\d+) fewer {N} than (?P<s>\w+)\.", lambda a, b, s, t: s - a),
    (r"(?P<o>\w+) has (?P<a>\d+) less than (?P<s>\w+)\.", lambda a, b, s, t: s - a),
    (rf"(?P<o>\w+) has (?P<a>\d+) times as many {N} as (?P<s>\w+)\.", lambda a, b, s, t: s * a),
    (rf"(?P<o>\w+) has (?P<a>\d+) times the {N} of (?P<s>\w+)\.", lambda a, b, s, t: s * a),
    (
        rf"(?P<o>\w+) gets one share of the {N} of (?P<s>\w+) split (?P<a>\d+) ways\.",
        lambda a, b, s, t: s / a,
    ),
    (
        rf"(?P<o>\w+) gets as many {N} as each of (?P<a>\d+) friends who share equally "
        r"what (?P<s>\w+) has\.",
        lambda a, b, s, t: s / a,
    ),
    (rf"(?P<o>\w+) has 1 for every (?P<a>\d+) {N} of (?P<s>\w+)\.", lambda a, b, s, t: s / a),
    (rf"For every (?P<a>\d+) {N} of (?P<s>\w+), (?P<o>\w+) has 1\.", lambda a, b, s, t: s / a),
    (rf"(?P<o>\w+) gets (?P<a>\d+) {N} for each one of (?P<s>\w+)\.", lambda a, b, s, t: s * a),
    (r"For each one of (?P<s>\w+), (?P<o>\w+) gets (?P<a>\d+)\.", lambda a, b, s, t: s * a),
    (
        rf"(?P<o>\w+) gets the {N} left over when (?P<s>\w+) fills bags of (?P<a>\d+)\.",
        lambda a, b, s, t: s % a,
    ),
    (
        r"(?P<s>\w+) fills bags of (?P<a>\d+) and (?P<o>\w+) gets what is left over\.",
        lambda a, b, s, t: s % a,
    ),
    (
        rf"(?P<o>\w+) (?:starts with|had) as many(?: {N})? as (?P<s>\w+) and "
        r"(?:then )?finds (?P<a>\d+) (?:each|a) day for (?P<b>\d+) days\.",
        lambda a, b, s, t: s + a * b,
    ),
    (
        rf"(?P<o>\w+) (?:starts with|had) as many(?: {N})? as (?P<s>\w+) and "
        r"(?:then )?loses (?P<a>\d+) (?:each|a) day for (?P<b>\d+) days\.",
        lambda a, b, s, t: s - a * b,
    ),
    (
        rf"(?P<o>\w+) has as many {N} as (?P<s>\w+) and (?P<t>\w+) together\.",
        lambda a, b, s, t: s + t,
    ),
    (
        rf"(?P<s>\w+) and (?P<t>\w+) together have as many {N} as (?P<o>\w+)\.",
        lambda a, b, s, t: s + t,
    ),
    (
        r"(?P<o>\w+) has the difference between (?P<s>\w+) and (?P<t>\w+)\.",
        lambda a, b, s, t: s - t,
    ),
    (
        rf"(?P<o>\w+) has as many {N} as (?P<s>\w+) has beyond (?P<t>\w+)\.",
        lambda a, b, s, t: s - t,
    ),
    (rf"(?P<s>\w+) and (?P<o>\w+) have (?P<a>\d+) {N} in all\.", lambda a, b, s, t: a - s),
    (rf"In all, (?P<s>\w+) and (?P<o>\w+) have (?P<a>\d+) {N}\.", lambda a, b, s, t: a - s),
)
ASIDE = re.compile(
    r"\w+ is \d+ years old\.|The shop opens at \d+\.|It takes \w+ \d+ minutes to walk home\."
)


def read(prompt: str) -> tuple[float, int]:
    """(answer, number of steps that the asked amount depends on), from the prompt's text alone."""
    *facts, question = re.findall(r"[^.?]+[.?]", prompt)
    known: dict[str, tuple[float, frozenset[str]]] = {}
    waiting = [fact.strip() for fact in facts if not ASIDE.fullmatch(fact.strip())]
    while waiting:
        before = len(waiting)
        waiting = [fact for fact in waiting if not understood(fact, known)]
        assert len(waiting) < before, f"no fact can be used: {waiting}"
    asked = next(name for name in re.findall(r"[A-Z][a-z]+", question) if name in NAMES)
    amount, steps = known[asked]
    return amount, len(steps)


def understood(fact: str, known: dict[str, tuple[float, frozenset[str]]]) -> bool:
    for pattern, value in READINGS:
        found = re.fullmatch(pattern, fact)
        if not found:
            continue
        groups = found.groupdict()
        needed = [groups[key] for key in ("s", "t") if groups.get(key)]
        if any(name not in known for name in needed):
            return False
        amounts = {key: known[groups[key]][0] if groups.get(key) else 0 for key in ("s", "t")}
        stated = {key: int(groups.get(key) or 0) for key in ("a", "b")}
        steps = frozenset().union(*(known[name][1] for name in needed)) | (
            {groups["o"]} if needed else set()
        )
        known[groups["o"]] = (value(**stated, **amounts), steps)
        return True
    raise AssertionError(f"not understood: {fact!r}")


def first(num: int, split: str = "train", seed: int = 3, **options: object) -> list[WordProblem]:
    return list(itertools.islice(problems(split, seed, **options), num))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("split", "digest"),
    [("train", "a5f56f408eebd3b8"), ("distill", "2d249443b0d0896c"), ("bench", "a4113c0253db73ab")],
)
def test_a_seed_gives_the_same_problems_on_every_machine(split: str, digest: str) -> None:
    said = "\n".join(
        f"{p.prompt}|{p.answer}|{p.depth}|{p.skeleton}" for p in first(60, split, seed=7)
    )
    assert hashlib.sha256(said.encode()).hexdigest()[:16] == digest


@pytest.mark.parametrize("split", ["train", "distill", "bench"])
def test_an_independent_reader_finds_the_same_answer_and_depth(split: str) -> None:
    for problem in first(300, split):
        assert read(problem.prompt) == (problem.answer, problem.depth), problem.prompt


def test_steps_are_exact_and_lead_to_the_answer() -> None:
    for problem in first(300):
        for step, following in itertools.pairwise(problem.steps):
            assert following.source == step.owner
            assert following.value == step.result
        for step in problem.steps:
            left, right = step.calculation.replace("mod", "%").split(" = ")
            assert eval(left) == int(right)  # noqa: S307 - digits and operators that we wrote ourselves
            assert 1 <= step.result <= 99
        assert problem.steps[-1].result == problem.answer
        assert len(problem.steps) == problem.depth


def test_no_answer_is_a_number_of_its_own_chain() -> None:
    for problem in first(300):
        assert problem.answer not in [step.value for step in problem.steps]


def test_all_relations_occur_and_each_in_all_its_wordings() -> None:
    assert len(RELATIONS) >= 10
    assert all(len(relation.wordings) >= 2 for relation in RELATIONS)
    used = {step.relation.key for problem in first(600) for step in problem.steps}
    assert used == {relation.key for relation in RELATIONS}


def test_some_stories_hold_facts_that_nothing_depends_on() -> None:
    with_aside = sum(bool(ASIDE.search(problem.prompt)) for problem in first(300))
    assert 50 < with_aside < 250


def test_asking_for_more_changes_nothing_before() -> None:
    many = first(90, "bench")
    assert first(40, "bench") == many[:40]
    assert first(30, "bench", start=60) == many[60:]
    assert first(30, "train", start=60) == first(90, "train")[60:]


def test_depths_take_turns() -> None:
    assert [p.depth for p in first(8)] == [1, 2, 3, 4, 5, 6, 1, 2]
    assert [p.depth for p in first(4, depths=(2, 5))] == [2, 5, 2, 5]


@pytest.mark.parametrize("split", ["distill", "bench"])
def test_no_skeleton_comes_twice(split: str) -> None:
    skeletons = [p.skeleton for p in first(960, split)]
    assert len(set(skeletons)) == 960


def test_the_split_follows_from_the_skeleton_alone() -> None:
    assert {bucket(p.skeleton) for p in first(100, "distill")} == {8}
    assert {bucket(p.skeleton) for p in first(100, "bench")} == {9}
    assert {bucket(p.skeleton) for p in first(300, "train")} == set(range(8))


def test_too_many_problems_of_one_depth_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rdpt_core.pocket.problems.MAX_DRAWS", 0)
    with pytest.raises(ValueError, match="no new skeleton of depth 1 in 0 draws for bench"):
        first(1, "bench")
