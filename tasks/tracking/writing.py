"""What is written into one run."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tasks.projection import Dataset, Point, Projection, rounded, run_name

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

T = TypeVar("T")
OURS = "mlflow.rdpt.wrote."
"""Digest of the last value that rdpt wrote to a tag that users may edit; edits are kept. MLflow's
pages hide tags that begin with its own name."""
OLD_OURS = "rdpt.wrote."
OLD_TAGS = (OLD_OURS, "rdpt.parts.")
"""Beginnings of the tags that earlier releases wrote."""


def write_words(client: MlflowClient, run: Run, projection: Projection) -> None:
    from mlflow.entities import Param, RunTag

    run_id, tags = run.info.run_id, dict(projection.tags)
    tags |= kept(run.data.tags, "mlflow.note.content", projection.note)
    tags |= kept(run.data.tags, "mlflow.runName", run_name(projection.name))
    changed = {k: v for k, v in tags.items() if run.data.tags.get(k) != v}
    # MLflow cannot change a parameter; a changed value (a renamed model) keeps its first name.
    fresh = {k: v for k, v in projection.params.items() if k not in run.data.params}
    for some in blocks(list(changed.items()), 100):
        client.log_batch(run_id, tags=[RunTag(k, v) for k, v in some])
    for some in blocks(list(fresh.items()), 100):
        client.log_batch(run_id, params=[Param(k, v) for k, v in some])
    for key in outdated(run.data.tags):
        client.delete_tag(run_id, key)


def write_losses(client: MlflowClient, run_id: str, points: Sequence[Point]) -> None:
    """Logs training steps that the run lacks: live steps have other timestamps, and those of
    earlier releases all digits."""
    known = {
        (key, m.step, rounded(m.value))
        for key in {p.key for p in points}
        for m in client.get_metric_history(run_id, key)
    }
    told = {(p.key, p.step, p.value): p for p in points}
    fresh = {one: p for one, p in told.items() if one not in known}
    write_points(client, run_id, list(fresh.values()))


def write_points(client: MlflowClient, run_id: str, points: Sequence[Point]) -> None:
    from mlflow.entities import Metric

    for some in blocks(points, 1000):
        metrics = [Metric(p.key, p.value, p.timestamp, p.step) for p in some]
        client.log_batch(run_id, metrics=metrics)


def write_datasets(client: MlflowClient, run_id: str, datasets: Iterable[Dataset]) -> None:
    from mlflow.entities import Dataset as Data
    from mlflow.entities import DatasetInput, InputTag

    inputs = [
        DatasetInput(
            Data(one.name, one.digest, "rdpt", one.source),
            [InputTag("mlflow.data.context", one.context)],
        )
        for one in datasets
    ]
    if inputs:
        client.log_inputs(run_id, inputs)


def write_artifacts(client: MlflowClient, run_id: str, files: Mapping[str, bytes]) -> None:
    with tempfile.TemporaryDirectory(prefix="rdpt-") as folder:
        for name, content in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        client.log_artifacts(run_id, folder)


def kept(tags: dict[str, str], key: str, value: str) -> dict[str, str]:
    """Tags to write for a tag that users may edit: none after an edit."""
    name = key.removeprefix("mlflow.")
    mark, old = OURS + name, OLD_OURS + name
    current, written = tags.get(key), tags.get(mark, tags.get(old))
    if current is not None and written != short(current):
        return {mark: written} if written and mark not in tags else {}
    if current != value:
        return {key: value, mark: short(value)}
    return {} if mark in tags else {mark: short(value)}


def outdated(tags: Iterable[str]) -> list[str]:
    return [key for key in tags if key.startswith(OLD_TAGS)]


def short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def blocks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
