"""How much disk the parts that are left to build will take.

Tables are counted in tokens of the traces that they are about, and tokens in bytes as measured.
How long a trace becomes that is still to be sampled is unknown until some parts of its table exist:
it counts with all tokens that it may have in what a run needs at most, and with none in what it
needs for certain. Imported traces count once they were read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from flows.workspace import Opened
from rdpt_core.finetune.disk import TrainingRoom, training_room
from rdpt_core.store.record import Part
from tasks.models import Model
from tasks.plan import Plan
from tasks.stage import SourceTable, StageTable, Table

BYTES = {
    "traces": 12.0,
    "scores": 8.5,
    "sentence_scores": 2.5,
    "provenance": 2.5,
    "sentences": 1.0,
    "grades": 0.5,
    "pool": 0.5,
}
"""A token of a trace in each table on disk. Measured on the pocket experiment, whose sentences are
short, so that larger studies take less; `traces` of a large vocabulary. Other tables are small."""


class Room(NamedTuple):
    """Bytes that a run needs on disk."""

    certain: int
    most: int
    """If every trace that is not sampled yet became as long as it may."""


@dataclass(frozen=True, slots=True)
class Amount:
    """What a table holds once it is complete, and how much of that is left to build."""

    rows: int
    tokens: float
    """Tokens of the traces that its rows are about."""
    left: float
    """Share of its parts that does not exist yet."""
    measured: bool = True
    """False where the tokens are the most that there may be."""


def estimated_room(opened: Opened, plan: Plan | None = None) -> Room:
    """What a run of an experiment needs in addition to what its workspace holds; by `plan`,
    where there is one that read the sources.

    Problems are read for it. Traces that are imported are not, and are left out until a run has.
    """
    plan = plan or opened.plan
    given = [table for table in opened.study.tables() if isinstance(table, SourceTable)]
    if not all(plan.state(table).complete for table in given):
        plan = Plan(opened.store, peek=knows_imports(opened))
    return DiskEstimate(plan).total(opened.study.tables(), opened.runtime.workers)


def knows_imports(opened: Opened) -> bool:
    """False where imported traces were never read, so that nothing is known of their length."""
    given = (c for c in opened.study.tables() if isinstance(c, SourceTable) and c.name == "traces")
    return all(not opened.plan.state(table).is_blocked for table in given)


class DiskEstimate:
    """The estimate of one plan; a table that several configurations use is counted once."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._known: dict[str, Amount] = {}

    def total(self, tables: Iterable[Table], workers: int) -> Room:
        """Everything that stays, and the checkpoints of as many trainings as may run at a time."""
        distinct = {table.digest: table for table in tables if isinstance(table, StageTable)}
        trainings = [room for table in distinct.values() if (room := self._training(table))]
        passing = sorted((room.most - room.model for room in trainings), reverse=True)
        trained = sum(room.model for room in trainings) + sum(passing[:workers])
        sizes = [(self.size(table), self.amount(table).measured) for table in distinct.values()]
        measured = sum(size for size, is_measured in sizes if is_measured)
        return Room(trained + measured, trained + sum(size for size, _ in sizes))

    def size(self, table: Table) -> int:
        """Bytes of the rows of a table that are left to build."""
        per_token = BYTES.get(table.name, 0.0)
        if not isinstance(table, StageTable) or not per_token:
            return 0
        amount = self.amount(table)
        return round(amount.left * amount.tokens * per_token)

    def amount(self, table: Table) -> Amount:
        if table.digest not in self._known:
            found = self._given(table) if isinstance(table, SourceTable) else self._made(table)
            self._known[table.digest] = found
        return self._known[table.digest]

    def _given(self, table: SourceTable) -> Amount:
        state = self._plan.state(table)
        parts: Collection[Part] = state.parts
        if state.is_blocked and table.name == "problems":
            parts = table.peek().values()
        tokens = sum(part.size for part in parts) / BYTES["traces"] if table.name == "traces" else 0
        return Amount(sum(part.num_rows for part in parts), tokens, 0.0)

    def _made(self, table: StageTable) -> Amount:
        state = self._plan.state(table)
        left = 1 - len(state.parts) / max(1, len(state.places))
        if table.stage.over is None:
            return Amount(0, 0, left)
        driver = self.amount(table.tables[table.stage.over])
        sampling = table.parameters.get("sampling")
        if table.name != "traces" or sampling is None:
            return Amount(driver.rows, driver.tokens, left, driver.measured)
        rows = driver.rows * len(
            table.parameters[table.stage.each] if table.stage.each else (None,)
        )
        finished = sum(part.num_rows for part in state.parts)
        if not finished:
            return Amount(rows, float(rows * sampling.max_new_tokens), left, measured=False)
        size = sum(part.size for part in state.parts)
        return Amount(rows, rows * size / BYTES["traces"] / finished, left)

    def _training(self, table: StageTable) -> TrainingRoom | None:
        """None where nothing is trained, or all is trained already."""
        model, recipe = (table.parameters.get(name) for name in ("model", "recipe"))
        if (
            table.name != "students"
            or not isinstance(model, Model)
            or self._plan.state(table).parts
        ):
            return None
        return training_room(model.folder, recipe) if recipe is not None else None
