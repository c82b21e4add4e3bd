"""Public sets are read unasked, in the columns in which they are published, and lose nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rdpt_core.sources.account import Ledger
from rdpt_core.sources.traces import ImportBlock, TraceSource, import_blocks
from tests.core.sources import public_sets as public


def write(folder: Path, name: str, rows: list[public.Row]) -> str:
    path = folder / name
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name


def read(
    folder: Path, name: str, **settings: Any
) -> tuple[ImportBlock, dict[tuple[str, str], int]]:
    ledger = Ledger()
    source = TraceSource.model_validate({"path": name, "name": "set", **settings})
    (block,) = import_blocks(source, 100, folder, ledger)
    return block, {(row.role, row.became): row.num for row in ledger.rows("set")}


def test_a_system_turn_is_kept_and_never_the_problem(tmp_path: Path) -> None:
    rows = public.rows(public.IMPORTS["conversations"])
    block, account = read(tmp_path, write(tmp_path, "set.jsonl", rows))
    assert account["system", "used"] == 3
    of = {origin.trace_id: origin.system for origin in block.origins}
    asked = {problem.problem_id: problem.prompt for problem in block.problems}
    for trace in block.traces[0]:
        n = next(n for n in range(1, 6) if asked[trace.problem_id] == public.question(n))
        assert of.get(trace.trace_id) == public.only_some(n)
