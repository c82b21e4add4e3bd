"""Draws that are the same on every machine, each stream apart."""

from __future__ import annotations

from collections import Counter

import pytest

from rdpt_core.pocket.dice import Dice


def test_a_stream_follows_from_its_name_alone() -> None:
    one, other = Dice("train", 7), Dice("train", 7)
    assert [one.between(1, 99) for _ in range(9)] == [other.between(1, 99) for _ in range(9)]
    assert Dice("train", 7).shuffled(range(50)) != Dice("train", 8).shuffled(range(50))


def test_draws_are_the_recorded_ones() -> None:
    """The shipped models and problems were made with them."""
    dice = Dice("train", 1, 2)
    assert [dice.between(1, 6) for _ in range(8)] == [2, 1, 2, 4, 3, 1, 5, 3]
    assert Dice("train", 1, 2).shuffled("abcdef") == list("cdfeab")


def test_all_of_a_range_come_about_equally_often() -> None:
    dice = Dice("range")
    seen = Counter(dice.between(3, 5) for _ in range(3000))
    assert seen.keys() == {3, 4, 5}
    assert min(seen.values()) > 900
    assert sum(dice.chance(0.2) for _ in range(3000)) == pytest.approx(600, abs=80)


def test_shuffling_loses_nothing() -> None:
    assert sorted(Dice("s").shuffled(range(20))) == list(range(20))
