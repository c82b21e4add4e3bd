"""The nearest part and what differs from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rdpt_core.store.differences import (
    ABSENT,
    FieldDifference,
    Made,
    Records,
    differences,
    first_pair,
)
from rdpt_core.store.parts import Store
from rdpt_core.store.record import Part
from rdpt_core.tables.recipe import Recipe
from rdpt_core.tables.rows import Grade, Outcome, Sentence, ZoneKind


def recipe(
    inputs: Mapping[str, Sequence[str]] | None = None, version: int = 1, **own: Any
) -> Recipe:
    return Recipe("grades", version, own, inputs or {})


def commit(store: Store, made: Recipe, inputs: Mapping[str, Sequence[str]] | None = None) -> Part:
    row = Grade(made.key, Outcome.CORRECT, None)
    return store.commit(Grade, made, [row], inputs=inputs or {})


def test_fields_are_named_as_they_are_nested_and_inputs_come_last() -> None:
    old = recipe({"traces": ["a"]}, rule={"alpha": 0.1, "cuts": [1, 2]}, gone=1).as_json()
    new = recipe({"traces": ["b"]}, 2, rule={"alpha": 0.2, "cuts": [1, 2]}, come=None).as_json()
    assert differences(old, new) == [
        FieldDifference("version", 1, 2),
        FieldDifference("rule.alpha", 0.1, 0.2),
        FieldDifference("come", ABSENT, None),
        FieldDifference("gone", 1, ABSENT),
        FieldDifference("inputs.traces", ["a"], ["b"]),
    ]


def test_equal_recipes_do_not_differ() -> None:
    assert differences(recipe(a=[1]).as_json(), recipe(a=[1]).as_json()) == []


def test_the_nearest_part_differs_in_the_fewest_fields(tmp_path: Path) -> None:
    store = Store(tmp_path)
    far = commit(store, recipe({"traces": ["x"]}, temperature=0.5, seed=1))
    near = commit(store, recipe({"traces": ["y"]}, temperature=1.0, seed=1))
    wanted = recipe({"traces": ["x"]}, temperature=1.0, seed=2)
    found = Records(store).nearest("grades", Made(wanted.as_json(), {}))
    assert found is not None
    assert found.part in (far, near)
    assert found.part == near  # the newest of two that differ in two fields
    other = recipe({"traces": ["x"]}, temperature=0.5, seed=2)
    found = Records(store).nearest("grades", Made(other.as_json(), {}))
    assert found is not None
    assert found.part == far


def test_of_equally_near_parts_the_one_of_the_most_similar_input_is_taken(tmp_path: Path) -> None:
    """A part of the same block, although one of another block is newer."""
    store = Store(tmp_path)
    cut = [Recipe("sentences", 1, {"block": b, "rule": r}, {}) for b, r in ((0, 1), (1, 1), (0, 2))]
    fed = [
        store.commit(Sentence, made, [Sentence(str(n), 0, 0, 1, ZoneKind.ANSWER)])
        for n, made in enumerate(cut)
    ]
    same, other = (
        commit(store, recipe({"sentences": [part.content]}), {"sentences": [part.key]})
        for part in fed[:2]
    )
    made = Made(
        recipe({"sentences": [fed[2].content]}).as_json(),
        {"sentences": [("sentences", fed[2].key)]},
    )
    found = Records(store).nearest("grades", made)
    assert found is not None
    assert found.part == same
    assert other.key != same.key


def test_a_table_without_parts_has_no_nearest(tmp_path: Path) -> None:
    assert Records(Store(tmp_path)).nearest("grades", Made(recipe().as_json(), {})) is None


def test_a_pair_is_what_one_list_has_and_the_other_lacks() -> None:
    assert first_pair(["a", "b"], ["a", "c"]) == ("b", "c")
    assert first_pair(["a"], ["a", "c"]) is None
