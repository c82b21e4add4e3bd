"""The data that a run read, and the model that it made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from flows.projection.told import Told
from rdpt_core.store.parts import contents_digest
from rdpt_core.store.record import Part
from rdpt_core.tables.rows import Problem
from tasks.models import CHECKPOINT
from tasks.projection import Dataset, Point, TrainedModel

TAUGHT = ("traces", "selection")
"""Tables of the training side that a student is made of, next to the problems."""


def datasets_of(told: Told) -> Iterator[Dataset]:
    """The problems of each side, by the source that their rows name; then what the student
    learnt from."""
    for side in told.configuration.sides:
        parts = told.parts("problems", side)
        if parts:
            first = next(iter(told.rows(Problem, side)))
            yield _dataset("problems", first[0].source if first else "problems", parts, side)
    for table in TAUGHT:
        parts = told.parts(table, "train")
        if parts:
            yield _dataset(table, _named(told, table), parts, "train")


def _named(told: Told, table: str) -> str:
    """Whose traces, and whose selection of them."""
    configuration = told.configuration
    whose = configuration.selector if table == "selection" else configuration.teacher
    return f"{table} of {whose}" if whose else table


def _dataset(table: str, name: str, parts: Sequence[Part], side: str) -> Dataset:
    source = {
        "table": table,
        "num_rows": sum(part.num_rows for part in parts),
        "parts": [part.key for part in parts[:100]],
    }
    return Dataset(name[:500], contents_digest(parts), side, json.dumps(source), table)


def trained_model(told: Told) -> TrainedModel | None:
    model = model_of(told)
    if model is None:
        return None
    tables = ("problems", *TAUGHT)
    found = {table: told.parts(table, "train") for table in tables}
    params = {
        "student": told.configuration.student or "",
        **{table: contents_digest(parts) for table, parts in found.items() if parts},
        "path": model["path"],
    }
    if told.configuration.seed is not None:
        params["seed"] = str(told.configuration.seed)
    files = {"model.json": (json.dumps(model, indent=1) + "\n").encode()}
    points = tuple(_known(told))
    return TrainedModel(told.configuration.name, model["digest"], params, files, points)


def _known(told: Told) -> Iterator[tuple[Point, Dataset]]:
    """How many rows of each dataset a student learnt from, and its accuracy on the first
    benchmark."""
    when = max(told.times)
    for table in ("problems", *TAUGHT):
        found = [one for one in datasets_of(told) if one.context == "train" and one.table == table]
        for one in found:
            num_rows = sum(part.num_rows for part in told.parts(table, "train"))
            yield Point(f"rows/{table}", num_rows, 0, when), one
    for side in told.benchmarks[:1]:
        row = told.results[side].get("accuracy")
        tested = [one for one in datasets_of(told) if one.context == side]
        if row is not None and row.value is not None and tested:
            yield Point("accuracy", round(row.value, 4), 0, when), tested[0]


def model_of(told: Told) -> dict[str, Any] | None:
    """Where the trained model is, never a copy of it: the weights may be many gigabytes. The path
    starts at the folder `store/` of the workspace; hashes are xxh3_128."""
    for part in told.parts("students", "train"):
        record = told.plan.store.record(part.table, part.key)
        inside = f"{CHECKPOINT}/"
        files = record.payload.items() if record else ()
        return {
            "name": f"{told.opened.experiment.name}/{told.configuration.name}",
            "digest": part.content,
            "path": f"{part.table}/{part.key}/{CHECKPOINT}",
            "files": {
                name.removeprefix(inside): {"size": size, "hash": digest}
                for name, (size, digest) in files
                if name.startswith(inside)
            },
        }
    return None
