"""A second data set that holds the tokens of an import's traces, joined by id.

Some sets publish log-probabilities apart from the texts: one row for each trace, with an id, token
ids and log-probabilities. Only ids and places are held in memory.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import model_validator

from rdpt_core.files.opening import open_records
from rdpt_core.files.records import BadTable, SourceRows, Values
from rdpt_core.sources.account import Ledger
from rdpt_core.sources.hub import HubSet, open_hub
from rdpt_core.sources.naming import Names
from rdpt_core.sources.values import value_at
from rdpt_core.tables.recipe import Rule

_IDS = ("sample_uuid", "uuid", "trace_id", "id")


class CompanionSource(Rule):
    """Where the tokens are; the traces' own ids are those of `columns.id`."""

    path: str | None = None
    hub: str | None = None
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    id: str | None = None
    """Its column of ids; by default sample_uuid, uuid, trace_id or id."""
    token_ids: str = "token_ids"
    logprobs: str = "logprobs"

    @model_validator(mode="after")
    def _one_place(self) -> CompanionSource:
        if (self.path is None) == (self.hub is None):
            raise ValueError("give `path` or `hub`, one of them")
        return self

    def records(self, base: Path) -> SourceRows:
        if self.path:
            return open_records(base / self.path, self.split)
        return open_hub(self.hub_set)

    @property
    def hub_set(self) -> HubSet:
        return HubSet("companion.hub", str(self.hub), self.config, self.split, self.revision)


class Companion:
    """Finds the tokens of a trace by its id."""

    def __init__(self, source: CompanionSource, base: Path, ledger: Ledger) -> None:
        """Raises BadTable where a column is missing or an id appears twice."""
        self._source, self._records = source, source.records(base)
        names = Names(self._records.names())
        self._id = names.given("companion.id", source.id) or names.known(_IDS)
        if self._id is None:
            raise names.missing("id", _IDS)
        for column in (source.token_ids, source.logprobs):
            names.given("companion", column)
        self._places: dict[str, int] = {}
        for record in self._records.scan():
            own_id = value_at(record.values, self._id)
            if record.fault or own_id is None:
                ledger.count("companion", "not understood", record.fault or "a row without an id")
            elif self._places.setdefault(str(own_id), record.place) != record.place:
                raise BadTable(f"the companion has two rows with the id {own_id!r}: keep one")
        ledger.count("companion", "read", num=len(self._places))

    def tokens(self, own_id: object) -> tuple[object, object]:
        """Token ids and log-probabilities as they were found; None where the id is not there."""
        place = self._places.get(str(own_id))
        if place is None:
            return None, None
        values: Values = next(iter(self._records.fetch([place]))).values
        return value_at(values, self._source.token_ids), value_at(values, self._source.logprobs)
