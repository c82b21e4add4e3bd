"""Why the store lacks a part: the differences from the recipe of the nearest part, field by field.

A recipe differs in its own fields (a version, a parameter) or in the content of an input. The first
is an answer; the second is a question about another table, which the caller follows upward.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rdpt_core.store.parts import Store
from rdpt_core.store.record import Record
from rdpt_core.tables.recipe import Plain

Fields = Mapping[str, Plain]
ABSENT = "(absent)"


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """One field of two recipes; `ABSENT` if one side has no such field."""

    field: str
    """Dotted path: `sampling.temperature`; an input is `inputs.traces`."""
    old: Plain
    new: Plain


@dataclass(frozen=True)
class Made:
    """The origin of an existing or future part."""

    recipe: Mapping[str, Any]
    """JSON form, see `Recipe.as_json`."""
    inputs: Mapping[str, Sequence[tuple[str, str]]]
    """Argument to table and key of each of its parts."""


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[FieldDifference]:
    """The fields in which two recipes differ, inputs last."""
    before, after = fields(old), fields(new)
    names = dict.fromkeys([*after, *before])
    return [
        FieldDifference(name, before.get(name, ABSENT), after.get(name, ABSENT))
        for name in sorted(names, key=lambda name: name.startswith("inputs."))
        if before.get(name, ABSENT) != after.get(name, ABSENT)
    ]


def fields(recipe: Mapping[str, Any]) -> Fields:
    """Nested tables flattened; lists are one value, and so is each input."""
    inputs = {f"inputs.{name}": digests for name, digests in recipe["inputs"].items()}
    own = {"stage": recipe["stage"], "version": recipe["version"]}
    return {**own, **dict(_leaves(recipe["parameters"], "")), **inputs}


def _leaves(value: Mapping[str, Any], path: str) -> Iterator[tuple[str, Plain]]:
    for name, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from _leaves(item, f"{path}{name}.")
        else:
            yield f"{path}{name}", item


@lru_cache(maxsize=1 << 16)
def _num_differences(old: str, new: str) -> int:
    """Differing fields of two recipes without inputs, as JSON: a table has few distinct ones."""
    return len(differences(json.loads(old), json.loads(new)))


class Records:
    """The records of a store, each table read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tables: dict[str, dict[str, Record]] = {}
        self._own: dict[int, str] = {}

    def of(self, table: str) -> dict[str, Record]:
        if table not in self._tables:
            self._tables[table] = {r.part.key: r for r in self._store.records(table)}
        return self._tables[table]

    def made(self, table: str, key: str, arguments: Mapping[str, str]) -> Made | None:
        """The origin of a committed part; `arguments` maps each of its arguments to a table."""
        record = self.of(table).get(key)
        if record is None:
            return None
        inputs = {
            name: [(arguments[name], each) for each in keys]
            for name, keys in record.inputs.items()
            if name in arguments
        }
        return Made(record.recipe, inputs)

    def nearest(self, table: str, made: Made, exclude: str = "") -> Record | None:
        """The part of `table` whose recipe differs in the fewest fields; among several, the one
        with the most similar inputs, then the newest. `exclude` is the key of the part itself."""
        own = _without_inputs(made.recipe)
        counted = [
            (self._distance(record, made, own), record)
            for key, record in self.of(table).items()
            if key != exclude
        ]
        fewest = min((count for count, _ in counted), default=0)
        tied = [record for count, record in counted if count == fewest]
        return min(tied, key=lambda r: (self._upstream(r, made), -r.mtime_ns), default=None)

    def _distance(self, record: Record, made: Made, own: str) -> int:
        old, new = record.recipe["inputs"], made.recipe["inputs"]
        changed = len([name for name in {*old, *new} if old.get(name) != new.get(name)])
        return _num_differences(self._own_fields(record), own) + changed

    def _own_fields(self, record: Record) -> str:
        if id(record) not in self._own:
            self._own[id(record)] = _without_inputs(record.recipe)
        return self._own[id(record)]

    def _upstream(self, record: Record, made: Made) -> int:
        """Differing fields between the recipes of the first input parts that differ."""
        total = 0
        for name, fed in made.inputs.items():
            if record.recipe["inputs"].get(name) == made.recipe["inputs"].get(name):
                continue
            pair = first_pair(list(record.inputs.get(name, ())), [key for _, key in fed])
            if pair is None or not fed:
                continue
            old, new = (self.of(fed[0][0]).get(key) for key in pair)
            if old is not None and new is not None:
                changed = int(old.recipe["inputs"] != new.recipe["inputs"])
                total += _num_differences(self._own_fields(old), self._own_fields(new)) + changed
        return total


def _without_inputs(recipe: Mapping[str, Any]) -> str:
    return json.dumps({**recipe, "inputs": {}}, sort_keys=True)


def first_pair(old: Sequence[str], new: Sequence[str]) -> tuple[str, str] | None:
    """The first key of each list that the other lacks; None if either has no such key."""
    gone = [key for key in old if key not in set(new)]
    come = [key for key in new if key not in set(old)]
    return (gone[0], come[0]) if gone and come else None
