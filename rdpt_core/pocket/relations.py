"""The kinds of step that a pocket problem is made of.

A relation turns the amount of one person (the source) into the amount of another (the owner),
with one or two operands that the story states, or with the amount of a third person. Each
relation has several wordings for the story, a short reason, and one full statement; which of the
two a trace uses is a question of style, not of truth. Amounts stay within 1..99, so that the
arithmetic is a small table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rdpt_core.pocket.dice import Dice

LARGEST = 99


@dataclass(frozen=True, slots=True)
class Relation:
    """One kind of step. In texts: {o} owner, {s} source, {t} third person, {n} noun, {a} and {b}
    operands.

    In `expression` and `inverse`, {v} is the source's amount and {r} the result.
    """

    key: str
    wordings: tuple[str, ...]
    reason: str
    statement: str
    expression: str
    inverse: str
    apply: Callable[[int, int, int], int | None]
    """(source amount, a, b) to the result, or None where the step is not exact"""
    a_range: tuple[int, int]
    b_range: tuple[int, int] = (0, 0)
    third: bool = False
    """a is the amount of a third person, so the story names them and not the number"""


def _exact(v: int, a: int, b: int) -> int | None:
    return v // a if v % a == 0 else None


def _left_over(v: int, a: int, b: int) -> int | None:
    return v % a if v > a else None


RELATIONS: tuple[Relation, ...] = (
    Relation(
        "more",
        ("{o} has {a} more {n} than {s}.", "{o} has as many {n} as {s} and {a} more."),
        "{a} more",
        "{o} has {a} more than {s}",
        "{v} + {a}",
        "{r} - {a} = {v}",
        lambda v, a, b: v + a,
        (2, 15),
    ),
    Relation(
        "fewer",
        ("{o} has {a} fewer {n} than {s}.", "{o} has {a} less than {s}."),
        "{a} fewer",
        "{o} has {a} fewer than {s}",
        "{v} - {a}",
        "{r} + {a} = {v}",
        lambda v, a, b: v - a,
        (2, 15),
    ),
    Relation(
        "times",
        ("{o} has {a} times as many {n} as {s}.", "{o} has {a} times the {n} of {s}."),
        "{a} times",
        "{o} has {a} times as many as {s}",
        "{v} * {a}",
        "{r} / {a} = {v}",
        lambda v, a, b: v * a,
        (2, 5),
    ),
    Relation(
        "share",
        (
            "{o} gets one share of the {n} of {s} split {a} ways.",
            "{o} gets as many {n} as each of {a} friends who share equally what {s} has.",
        ),
        "{a} shares",
        "{o} gets one of {a} equal shares from {s}",
        "{v} / {a}",
        "{r} * {a} = {v}",
        _exact,
        (2, 5),
    ),
    Relation(
        "part",
        ("{o} has 1 for every {a} {n} of {s}.", "For every {a} {n} of {s}, {o} has 1."),
        "1 for {a}",
        "{o} has 1 for every {a} of {s}",
        "{v} / {a}",
        "{r} * {a} = {v}",
        _exact,
        (2, 5),
    ),
    Relation(
        "rate",
        ("{o} gets {a} {n} for each one of {s}.", "For each one of {s}, {o} gets {a}."),
        "{a} for each",
        "{o} gets {a} for each one of {s}",
        "{v} * {a}",
        "{r} / {a} = {v}",
        lambda v, a, b: v * a,
        (2, 5),
    ),
    Relation(
        "remainder",
        (
            "{o} gets the {n} left over when {s} fills bags of {a}.",
            "{s} fills bags of {a} and {o} gets what is left over.",
        ),
        "left over from bags of {a}",
        "{o} gets what {s} has left over from bags of {a}",
        "{v} mod {a}",
        "",
        _left_over,
        (3, 6),
    ),
    Relation(
        "gain",
        (
            "{o} starts with as many {n} as {s} and finds {a} each day for {b} days.",
            "{o} had as many as {s} and then finds {a} a day for {b} days.",
        ),
        "{a} a day for {b} days",
        "{o} starts like {s} and finds {a} a day for {b} days",
        "{v} + {a} * {b}",
        "",
        lambda v, a, b: v + a * b,
        (2, 4),
        (2, 4),
    ),
    Relation(
        "loss",
        (
            "{o} starts with as many {n} as {s} and loses {a} each day for {b} days.",
            "{o} had as many as {s} and then loses {a} a day for {b} days.",
        ),
        "{a} lost a day for {b} days",
        "{o} starts like {s} and loses {a} a day for {b} days",
        "{v} - {a} * {b}",
        "",
        lambda v, a, b: v - a * b,
        (2, 4),
        (2, 4),
    ),
    Relation(
        "sum",
        (
            "{o} has as many {n} as {s} and {t} together.",
            "{s} and {t} together have as many {n} as {o}.",
        ),
        "with {t}",
        "{o} has as many as {s} and {t} together",
        "{v} + {a}",
        "{r} - {a} = {v}",
        lambda v, a, b: v + a,
        (2, 30),
        third=True,
    ),
    Relation(
        "difference",
        (
            "{o} has the difference between {s} and {t}.",
            "{o} has as many {n} as {s} has beyond {t}.",
        ),
        "beyond {t}",
        "{o} has the difference between {s} and {t}",
        "{v} - {a}",
        "{r} + {a} = {v}",
        lambda v, a, b: v - a,
        (2, 30),
        third=True,
    ),
    Relation(
        "rest",
        ("{s} and {o} have {a} {n} in all.", "In all, {s} and {o} have {a} {n}."),
        "the rest of {a}",
        "{s} and {o} have {a} in all",
        "{a} - {v}",
        "{r} + {v} = {a}",
        lambda v, a, b: a - v,
        (8, 60),
    ),
)
BY_KEY = {relation.key: relation for relation in RELATIONS}


def draw_operands(relation: Relation, v: int, dice: Dice) -> tuple[int, int, int] | None:
    """(a, b, result) for a step from the amount v; None when the result is not a whole 1..99."""
    low, high = relation.a_range
    if relation.key == "rest":
        low, high = v + 2, min(v + 40, LARGEST)
        if low > high:
            return None
    a, b = dice.between(low, high), dice.between(*relation.b_range)
    result = relation.apply(v, a, b)
    if result is None or not 1 <= result <= LARGEST:
        return None
    return a, b, result
