"""Files of a run: settings, results, examples, figures."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any

from flows.projection.made_of import model_of
from flows.projection.told import R, Told
from flows.report.curves import MIN_TRACES
from rdpt_core.files.writing import csv_writer
from rdpt_core.report.bundle import Curve
from rdpt_core.store.parts import contents_digest
from rdpt_core.tables.rows import Pick, Problem, Result, Trace
from tasks.stage import Parts

MAX_EXAMPLES = 200
DPI = 115
"""MLflow shows an image in its own size, in a pane of some 600 px."""


def files_of(told: Told) -> Iterator[tuple[str, bytes]]:
    yield "experiment.toml", told.opened.file.read_bytes()
    yield "results.csv", _table(told).encode()
    yield "tables.json", _json(dict(_tables(told)))
    model = model_of(told)
    if model is not None:
        yield "students/model.json", _json(model)
    preview = _preview(told)
    if preview is not None:
        yield "students/preview.txt", preview
    if told.parts("selection", "train"):
        yield "selection/examples.jsonl", "".join(_examples(told)).encode()
    for side, curve in told.curves.items():
        benchmark = side.partition(":")[2]
        title = f"{told.configuration.name} on {benchmark}"
        yield f"provenance/{benchmark}.png", _curves(title, curve)


def _curves(title: str, curve: Curve) -> bytes:
    from rdpt_core.report.figures.curves import curves_of
    from rdpt_core.report.figures.style import SCREEN, save

    return save(curves_of(title, curve, MIN_TRACES, SCREEN), "png", DPI)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()


def _tables(told: Told) -> Iterator[tuple[str, dict[str, str]]]:
    """Side to table to the digest of its parts: two runs with one digest share the table."""
    for side in told.configuration.sides:
        yield (
            side,
            {
                " ".join([use.table.name, *([use.role] if use.role else [])]): contents_digest(
                    told.plan.state(use.table).parts
                )
                for use in told.configuration.uses
                if use.side == side
            },
        )


def _table(told: Told) -> str:
    file = io.StringIO()
    writer = csv_writer(file.write)
    writer.writerow(field.name for field in fields(Result))
    for rows in told.results.values():
        writer.writerows(asdict(row).values() for row in rows.values())
    return file.getvalue()


def _preview(told: Told) -> bytes | None:
    """What the first batch of the fine-tuning looked like. Only this file of the payload is
    checked: the weights next to it may be many gigabytes."""
    for part in told.parts("students", "train"):
        if path := told.plan.store.payload_file(part, "preview.txt"):
            return path.read_bytes()
    return None


def _examples(told: Told) -> Iterator[str]:
    """JSON lines, best first."""
    picks = [pick for rows in told.rows(Pick, "train") for pick in rows]
    chosen = sorted(picks, key=lambda pick: (pick.rank, pick.trace_id))[:MAX_EXAMPLES]
    traces = _wanted(told.rows(Trace, "train"), {pick.trace_id for pick in chosen}, "trace_id")
    asked = {trace.problem_id for trace in traces.values()}
    problems = _wanted(told.rows(Problem, "train"), asked, "problem_id")
    for pick in chosen:
        trace = traces[pick.trace_id]
        line = {
            "rank": pick.rank,
            "merit": pick.merit,
            "tokens": pick.num_tokens,
            "trace_id": pick.trace_id,
            "problem": problems[trace.problem_id].prompt,
            "trace": trace.text,
        }
        yield json.dumps(line) + "\n"


def _wanted(parts: Parts[R], wanted: set[str], key: str) -> Mapping[str, R]:
    """Rows by id; no more parts are read than it takes."""
    found: dict[str, R] = {}
    for rows in parts if wanted else ():
        found |= {getattr(row, key): row for row in rows if getattr(row, key) in wanted}
        if len(found) == len(wanted):
            break
    return found
