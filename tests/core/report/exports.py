"""Exports of an experiment with any sentences, written as `rdpt export` writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rdpt_core.store.contents import ConfigurationRow, Contents, PartUse
from rdpt_core.store.exported import write_database
from rdpt_core.store.parts import Store
from rdpt_core.tables.recipe import Recipe
from rdpt_core.tables.rows import (
    FinishReason,
    Grade,
    Label,
    Outcome,
    Problem,
    Provenance,
    Result,
    Sentence,
    Trace,
    Zone,
    ZoneKind,
)

Labels = Sequence[Label | None]


def write_export(
    path: Path, traces: Mapping[str, tuple[Outcome, Labels]], experiment: str = "toy"
) -> Path:
    """One configuration `random` on `bench`. A trace has an outcome and the labels of its
    sentences, `So 7.` each, after a tag if its id ends with `-tag`."""
    store, rows = Store(path.parent / f"{path.stem}-store"), _rows(traces)
    uses = tuple(
        PartUse("c", "test", "bench", row.TABLE, _commit(store, row, found), None, None, None)
        for row, found in rows.items()
    )
    configuration = ConfigurationRow("c", "random", experiment, "big", "small", None, "random", 0)
    write_database(path, store, Contents((configuration,), (), uses), tokens=False)
    return path


def _commit(store: Store, row: Any, found: Sequence[Any]) -> str:
    return store.commit(row, Recipe(row.TABLE, 1, {}, {}), found).key


def _rows(traces: Mapping[str, tuple[Outcome, Labels]]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = {
        Problem: [],
        Trace: [],
        Grade: [],
        Sentence: [],
        Provenance: [],
        Result: [Result("c", "test", "bench", "accuracy", 0.5, 0.1, 0.9, 2, None)],
    }
    for number, (trace_id, (outcome, labels)) in enumerate(traces.items()):
        problem_id, num_tags = f"p{number}", int(trace_id.endswith("-tag"))
        text = "<t>" * num_tags + "So 7." * len(labels)
        found[Problem].append(Problem(problem_id, "bench", "test", "depth-1", "1 + 6?", "7"))
        found[Trace].append(_trace(trace_id, problem_id, text))
        found[Grade].append(Grade(trace_id, outcome, "7"))
        if num_tags:
            found[Sentence].append(Sentence(trace_id, 0, 0, 3, ZoneKind.TAG))
        for at, label in enumerate(labels):
            position, start = at + num_tags, 3 * num_tags + 5 * at
            found[Sentence].append(Sentence(trace_id, position, start, start + 5, ZoneKind.THOUGHT))
            found[Provenance].append(_provenance(trace_id, position, label))
    return found


def _trace(trace_id: str, problem_id: str, text: str) -> Trace:
    return Trace(
        trace_id=trace_id,
        problem_id=problem_id,
        author="small",
        sample_index=0,
        text=text,
        zones=(Zone(ZoneKind.THOUGHT, 0, len(text)),),
        finish_reason=FinishReason.STOP,
        num_tokens=None,
        token_ids=None,
        logprobs=None,
        sampled_logprobs=None,
        seed=None,
        source_id=None,
    )


def _provenance(trace_id: str, position: int, label: Label | None) -> Provenance:
    """Probabilities that give the label, three-way for Common."""
    p_teacher, p_student, p_distilled = P[label]
    reason = "too_long" if label is None else None
    return Provenance(
        trace_id, position, label, None, None, p_teacher, p_student, p_distilled, reason
    )


P: dict[Label | None, tuple[float | None, float | None, float | None]] = {
    Label.TEACHER: (0.9, 0.3, 0.9),
    Label.STUDENT: (0.3, 0.9, 0.9),
    Label.SHARED: (0.5, 0.5, 0.5),
    Label.BOOSTED: (0.2, 0.2, 0.9),
    Label.COMMON: (0.5, 0.5, None),
    None: (None, 0.5, 0.5),
}
