"""Arithmetic stories of 1 to 6 dependent steps, endless, the same everywhere, with splits that
share no skeleton.

The skeleton is the story without its words: the first amount, then each relation with its
operands and where they come from. Its hash decides the split, so a story that differs from a
training story only in names, nouns, wording or distractors can never be a test problem.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rdpt_core.pocket.dice import Dice
from rdpt_core.pocket.relations import RELATIONS, Relation, draw_operands

Split = Literal["train", "distill", "bench"]
BUCKETS: dict[Split, tuple[int, ...]] = {"train": tuple(range(8)), "distill": (8,), "bench": (9,)}
NAMES = (
    "Tom",
    "Mia",
    "Sam",
    "Ana",
    "Ben",
    "Eva",
    "Leo",
    "Zoe",
    "Max",
    "Ida",
    "Kai",
    "Amy",
    "Dan",
    "Joy",
    "Gus",
    "Liv",
)
NOUNS = ("apples", "coins", "books", "cards", "pens", "shells", "eggs", "beads")
GIVEN = ("{o} has {v} {n}.", "{o} starts with {v} {n}.")
QUESTIONS = ("How many {n} does {o} have?", "Find how many {n} {o} has.")
ASIDES = (
    "{o} is {v} years old.",
    "The shop opens at {v}.",
    "It takes {o} {v} minutes to walk home.",
)
MAX_DRAWS = 20_000


@dataclass(frozen=True, slots=True)
class Step:
    """One exact calculation: `owner` gets `result` from the `value` of `source`."""

    relation: Relation
    owner: str
    source: str
    third: str
    """the third person of a sum or difference, else empty"""
    value: int
    a: int
    b: int
    result: int

    def fill(self, text: str, noun: str = "") -> str:
        return text.format(
            o=self.owner,
            s=self.source,
            t=self.third,
            n=noun,
            v=self.value,
            a=self.a,
            b=self.b,
            r=self.result,
        )

    @property
    def calculation(self) -> str:
        """For example `12 + 3 = 15`."""
        return self.fill(self.relation.expression + " = {r}")


@dataclass(frozen=True, slots=True)
class WordProblem:
    """A story that ends in a question, its answer, and the steps that lead there in order."""

    prompt: str
    answer: int
    depth: int
    skeleton: str
    steps: tuple[Step, ...]
    noun: str


@dataclass(frozen=True, slots=True)
class _Link:
    """A step before anyone has a name. `third` indexes an earlier amount; -1 is one of its own."""

    relation: Relation
    value: int
    a: int
    b: int
    result: int
    third: int


def bucket(skeleton: str) -> int:
    """0..9; which split a skeleton belongs to follows from it alone."""
    return int.from_bytes(hashlib.blake2b(skeleton.encode(), digest_size=8).digest(), "big") % 10


def problems(
    split: Split, seed: int, start: int = 0, depths: Sequence[int] = (1, 2, 3, 4, 5, 6)
) -> Iterator[WordProblem]:
    """The stream of a split from item `start` on; depths take turns, and asking for more changes
    nothing before.

    In `distill` and `bench` no skeleton comes twice, so their earlier items are drawn again to
    know what is taken. `train` may repeat a skeleton, as any epoch would, and starts anywhere at
    once.
    """
    taken: set[str] | None = None if split == "train" else set()
    index = start if taken is None else 0
    while True:
        problem = _item(split, seed, index, depths[index % len(depths)], taken)
        if index >= start:
            yield problem
        index += 1


def _item(split: Split, seed: int, index: int, depth: int, taken: set[str] | None) -> WordProblem:
    dice = Dice("problem", split, seed, index)
    for _ in range(MAX_DRAWS):
        first, links = _chain(depth, dice)
        skeleton = _skeleton(first, links)
        if bucket(skeleton) not in BUCKETS[split] or (taken is not None and skeleton in taken):
            continue
        if taken is not None:
            taken.add(skeleton)
        return _story(first, links, skeleton, dice)
    raise ValueError(
        f"no new skeleton of depth {depth} in {MAX_DRAWS} draws for {split}: ask for fewer problems"
    )


def _chain(depth: int, dice: Dice) -> tuple[int, list[_Link]]:
    """Amounts and relations; a result differs from all amounts before it and from its operands."""
    while True:
        first = dice.between(3, 40)
        amounts, links = [first], []
        for _ in range(depth * 12):
            link = _link(amounts, dice)
            if link is not None:
                links.append(link)
                amounts.append(link.result)
            if len(links) == depth:
                return first, links


def _link(amounts: list[int], dice: Dice) -> _Link | None:
    relation = dice.pick(RELATIONS)
    drawn = draw_operands(relation, amounts[-1], dice)
    if drawn is None:
        return None
    a, b, result = drawn
    third = -1
    if relation.third and len(amounts) > 1 and dice.chance(0.5):
        third = dice.between(0, len(amounts) - 2)
        a, found = amounts[third], relation.apply(amounts[-1], amounts[third], b)
        if found is None or not 1 <= found <= 99:
            return None
        result = found
    if result in amounts or result in (a, b):
        return None
    return _Link(relation, amounts[-1], a, b, result, third)


def _skeleton(first: int, links: list[_Link]) -> str:
    """For example `12;more 3;sum @0`: first amount, then relations with operands or origins."""
    parts = [str(first)]
    for link in links:
        operands = (
            f"@{link.third}" if link.third >= 0 else f"{link.a} {link.b}" if link.b else str(link.a)
        )
        parts.append(f"{link.relation.key} {operands}")
    return ";".join(parts)


def _story(first: int, links: list[_Link], skeleton: str, dice: Dice) -> WordProblem:
    names, noun = dice.shuffled(NAMES), dice.pick(NOUNS)
    people, spare = names[: len(links) + 1], names[len(links) + 1 :]
    facts = [_given(people[0], first, noun, dice)]
    steps = []
    for i, link in enumerate(links):
        third = ""
        if link.relation.third:
            third = people[link.third] if link.third >= 0 else spare.pop()
        step = Step(
            link.relation, people[i + 1], people[i], third, link.value, link.a, link.b, link.result
        )
        if third and link.third < 0:
            facts.append(_given(third, link.a, noun, dice))
        facts.append(step.fill(dice.pick(link.relation.wordings), noun))
        steps.append(step)
    facts = _disturbed(facts, spare, noun, dice)
    question = dice.pick(QUESTIONS).format(n=noun, o=people[-1])
    prompt = " ".join([*facts, question])
    return WordProblem(prompt, links[-1].result, len(links), skeleton, tuple(steps), noun)


def _given(owner: str, value: int, noun: str, dice: Dice) -> str:
    return dice.pick(GIVEN).format(o=owner, v=value, n=noun)


def _disturbed(facts: list[str], spare: list[str], noun: str, dice: Dice) -> list[str]:
    """Sometimes two facts change places, and up to two that nothing depends on come in between."""
    if dice.chance(0.15):
        i = dice.between(0, len(facts) - 2)
        facts[i], facts[i + 1] = facts[i + 1], facts[i]
    for _ in range(dice.pick((0, 0, 0, 1, 1, 2))):
        text = dice.pick((GIVEN[0], *ASIDES))
        aside = text.format(o=spare.pop(), v=dice.between(2, 30), n=noun)
        facts.insert(dice.between(0, len(facts)), aside)
    return facts
