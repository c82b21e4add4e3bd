"""`rdpt why`: what makes the parts that a run would build unlike those that the store has.

A part's key is its recipe's digest, so the answer is always a field: one of its own, or one of a
table above it, found by following inputs whose content differs.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from flows.checks import check_models
from flows.commands.documents import print_json
from flows.configurations import Configuration
from flows.runtime import read_runtime
from flows.titles import title, users_of
from flows.workspace import Opened, named, open_asked
from rdpt_core.report.words import counted
from rdpt_core.store.differences import Made, Records, differences, first_pair
from rdpt_core.store.record import Record
from rdpt_core.tables.rows import ROWS
from rdpt_core.tables.spelling import nearest
from settings.loading import BadSettings
from tasks.plan import MissingPart, Plan, TableState
from tasks.stage import SourceTable, StageTable, Table

DIGEST, SHORT = 32, 12
"""Hex digits of a digest, and of one that people read."""
NAMED = 3
"""Keys that are spelled out where many parts have one reason."""


def why(file: str, table: str, configuration: str | None, as_json: bool = False) -> int:
    opened = open_asked(file, read_runtime())
    everyone = opened.study.configurations()
    tables = _tables(opened, [named(opened, configuration)] if configuration else everyone, table)
    check_models(opened)
    asker = Asker(opened, Plan(opened.store, peek=True))
    if as_json:
        found = [one for wanted in tables for one in asker.documents(wanted)]
        print_json({"experiment": opened.experiment.name, "tables": found})
        return 0
    for wanted in tables:
        for line in asker.answer(wanted):
            sys.stdout.write(line + "\n")
    return 0


def _tables(opened: Opened, chosen: Iterable[Configuration], table: str) -> list[Table]:
    uses = {use.table.digest: use.table for c in chosen for use in c.uses}
    tables = [each for each in uses.values() if each.name == table]
    if not tables:
        names = list(dict.fromkeys(each.name for each in uses.values()))
        exists = table in {row.TABLE for row in ROWS}
        what = f"does not build {table}" if exists else f"has no table {table!r}"
        near = nearest(table, names)
        known = f"did you mean {near}?" if near else f"tables: {', '.join(names)}"
        raise BadSettings(str(opened.file), [f"the experiment {what}: {known}"])
    return tables


@dataclass(frozen=True)
class Reason:
    """Why a part is to be built; parts with equal `lines` are printed together."""

    key: str
    nearest: Record | None
    lines: tuple[str, ...]


class Asker:
    """Explains the tables of one experiment by what its store holds."""

    def __init__(self, opened: Opened, plan: Plan) -> None:
        self._store, self._plan = opened.store, plan
        self._records = Records(opened.store)
        self._users = users_of(opened.study.configurations())
        self._answered: set[str] = set()

    def answer(self, table: Table) -> Iterator[str]:
        """Lines for a table, once; of a blocked one, also the table that it waits for."""
        if table.digest in self._answered:
            return
        self._answered.add(table.digest)
        state = self._plan.state(table)
        name = title(table, self._users.get(table.digest, []))
        if state.complete:
            yield f"{name}: complete ({counted(state.parts, 'part')}), up to date"
            return
        if isinstance(table, SourceTable):
            yield f"{name}: its source has not been read into this store, or has changed since"
            return
        if state.missing:
            yield f"{name}: {len(state.missing)} of {counted(state.places, 'part')} to be built"
            yield from self._told(self._reason(table, wanted) for wanted in state.missing)
        if state.is_blocked:
            above = self._first_to_build(table)
            above_name = title(above, self._users.get(above.digest, []))
            blocked = [place for place in state.places.values() if place is None]
            yield f"{name}: {counted(blocked, 'part')} to wait for {above_name}"
            yield from self.answer(above)

    def documents(self, table: Table) -> Iterator[dict[str, Any]]:
        """A table, once; after a blocked one, the table that it waits for."""
        if table.digest in self._answered:
            return
        self._answered.add(table.digest)
        state = self._plan.state(table)
        blocked = isinstance(table, StageTable) and state.is_blocked and not state.complete
        above = self._first_to_build(table) if blocked else None  # type: ignore[arg-type]
        users = self._users
        yield {
            "table": title(table, users.get(table.digest, [])),
            "complete": state.complete,
            "is_source": isinstance(table, SourceTable),
            "parts": len(state.places),
            "waits_for": title(above, users.get(above.digest, [])) if above else None,
            "missing": [
                {
                    "part": reason.key,
                    "nearest": reason.nearest.part.key if reason.nearest else None,
                    "reasons": list(reason.lines),
                }
                for wanted in state.missing
                if isinstance(table, StageTable)
                for reason in [self._reason(table, wanted)]
            ],
        }
        if above:
            yield from self.documents(above)

    def _first_to_build(self, table: StageTable) -> Table:
        """The nearest table above that is not complete though all that it needs is."""
        for needed in table.needs():
            found: TableState = self._plan.state(needed)
            if not found.complete and isinstance(needed, StageTable):
                return self._first_to_build(needed) if not found.missing else needed
        return next((n for n in table.needs() if not self._plan.state(n).complete), table)

    def _told(self, reasons: Iterable[Reason]) -> Iterator[str]:
        groups: dict[tuple[str, ...], list[Reason]] = {}
        for reason in reasons:
            groups.setdefault(reason.lines, []).append(reason)
        for lines, group in groups.items():
            keys = " ".join(reason.key[:SHORT] for reason in group[:NAMED])
            more = f" and {len(group) - NAMED} more" if len(group) > NAMED else ""
            yield f"  {counted(group, 'part')}: {keys}{more}"
            near = group[0].nearest
            if near is not None:
                made = time.strftime("%Y-%m-%d %H:%M", time.localtime(near.mtime_ns / 1e9))
                yield f"    nearest: {near.part.key[:SHORT]}, made {made}"
            yield from (f"    {line}" for line in lines)

    # ------------------------------------------------------------------ one part

    def _reason(self, table: StageTable, wanted: MissingPart) -> Reason:
        key = wanted.key
        note = self._store.root / "quarantine" / f"{key}.reason"
        if self._records.of(table.name).get(key) is not None:
            return Reason(key, None, ("it was built, and its file is missing or has changed",))
        fed = {
            name: [(part.table, part.key) for part in parts]
            for name, parts in wanted.inputs.items()
        }
        made = Made(wanted.recipe.as_json(), fed)
        near = self._records.nearest(table.name, made)
        if note.exists():
            said = note.read_text(errors="replace").strip().partition(": ")[2]
            return Reason(key, None, (f"it was built, and set aside: {said}",))
        if near is None:
            return Reason(key, None, (f"the store has no part of {table.name} yet",))
        return Reason(key, near, tuple(self._compared(table, made, near)))

    def _compared(self, table: StageTable, made: Made, near: Record) -> Iterator[str]:
        late: set[str] = set()
        for difference in differences(near.recipe, made.recipe):
            kind, _, name = difference.field.partition(".")
            if kind == "inputs":
                yield from self._input(table, made, near, name)
                continue
            yield f"{difference.field}: {_value(difference.old)} -> {_value(difference.new)}"
            if kind not in late and hasattr(table.parameters.get(kind), "bind"):
                late.add(kind)
                yield from self._trained(kind, table.parameters[kind].table)

    def _input(self, table: StageTable, made: Made, near: Record, name: str) -> Iterator[str]:
        """An input's content differs: which of its parts, and why they do."""
        needed, old = table.tables[name], list(near.inputs.get(name, ()))
        new = [key for _, key in made.inputs.get(name, ())]
        pair = first_pair(old, new)
        if pair is None:
            again = ", built again with other rows" if old == new else ""
            yield f"{name}: {counted(old, 'part')} -> {counted(new, 'part')}{again}"
            return
        yield f"{name} differ: {pair[0][:SHORT]} -> {pair[1][:SHORT]}"
        yield from (f"  {line}" for line in self._follow(needed, *pair))

    def _follow(self, table: Table, old: str, new: str) -> Iterator[str]:
        before = self._records.of(table.name).get(old)
        after = self._records.of(table.name).get(new)
        if after is None:
            yield f"its source gives {table.name} that the store does not have"
        elif before is None:
            yield "the part that it was made from then is no longer in the store"
        elif isinstance(table, SourceTable):
            yield f"other {table.name} ({before.part.num_rows} -> {after.part.num_rows} rows)"
        else:
            made = self._records.made(table.name, new, _arguments(table))
            assert made is not None
            yield from self._compared(table, made, before)

    def _trained(self, name: str, table: StageTable) -> Iterator[str]:
        """A model that another table trains: why that one trained another."""
        parts = self._plan.state(table).parts
        made = parts and self._records.made(table.name, parts[0].key, _arguments(table))
        near = made and self._records.nearest(table.name, made, parts[0].key)
        if made and near:
            yield f"{name} is trained by {table.name}, where"
            yield from (f"  {line}" for line in self._compared(table, made, near))


def _arguments(table: StageTable) -> dict[str, str]:
    return {name: needed.name for name, needed in table.tables.items()}


def _value(value: Any) -> str:
    if isinstance(value, str) and len(value) == DIGEST and set(value) <= set("0123456789abcdef"):
        return value[:SHORT]
    return json.dumps(value, ensure_ascii=True)
