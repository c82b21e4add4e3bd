"""Public sets are read unasked, in the columns in which they are published, and lose nothing."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rdpt_core.sources.account import Ledger, lines
from rdpt_core.sources.problems import FileSource, blocks
from rdpt_core.sources.traces import ImportBlock, TraceSource, import_blocks
from rdpt_core.tables import columns
from rdpt_core.tables.rows import FinishReason, Origin, Problem, Trace, ZoneKind
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


def zone(trace: Trace, kind: ZoneKind) -> str:
    data = trace.text.encode()
    return "".join(data[z.start : z.stop].decode() for z in trace.zones if z.kind is kind)


@pytest.mark.parametrize("name", public.IMPORTS)
def test_a_public_set_is_read_unasked(tmp_path: Path, name: str) -> None:
    rows = public.rows(public.IMPORTS[name])
    block, account = read(tmp_path, write(tmp_path, "set.jsonl", rows))
    prefix = f"{public.PREFIX}\n\n" if name == "alpaca" else ""
    assert [p.prompt for p in block.problems] == [prefix + public.question(n) for n in range(1, 6)]
    golds = [None] * 5 if name in public.GOLDLESS else ["2", "4", "6", "8", "10"]
    assert [problem.answer for problem in block.problems] == golds
    for n, trace in enumerate(sorted(block.traces[0], key=lambda t: t.text), start=1):
        assert public.answer(n).rstrip(".") in zone(trace, ZoneKind.ANSWER)
        assert zone(trace, ZoneKind.THOUGHT) == ("" if name == "limo" else public.thought(n))
    assert block.rejects == ()
    assert account["rows", "used"] == 5
    assert not [key for key in account if key[1] == "not understood"]


@pytest.mark.parametrize("name", public.IMPORTS)
def test_a_public_set_in_parquet_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    rows = public.rows(public.IMPORTS[name])
    digests = set()
    for file in ("set.jsonl", "set.parquet"):
        block, account = read(tmp_path, write(tmp_path, file, rows))
        tables = [(Problem, block.problems), (Origin, block.origins)]
        tables += [(Trace, traces) for traces in block.traces]
        made = [columns.content_digest(kind, columns.in_key_order(kind, t)) for kind, t in tables]
        digests.add((*made, *sorted(account.items())))
    assert len(digests) == 1


@pytest.mark.parametrize("name", public.PROBLEMS)
def test_problems_of_a_public_set_are_read_unasked(tmp_path: Path, name: str) -> None:
    write(tmp_path, "set.jsonl", public.rows(public.PROBLEMS[name]))
    (block,) = blocks(FileSource(source="file", path="set.jsonl"), 100, tmp_path)
    assert [p.prompt for p in block.problems] == [public.question(n) for n in range(1, 6)]
    golds = [(problem.answer or "").strip("$") for problem in block.problems]
    assert golds == ["2", "4", "6", "8", "10"]


def test_several_generations_of_a_row_are_candidates_with_what_stands_beside_them(
    tmp_path: Path,
) -> None:
    rows = public.rows(public.openr1)
    block, account = read(tmp_path, write(tmp_path, "set.jsonl", rows))
    traces = [trace for group in block.traces for trace in group]
    assert account["traces", "used"] == len(traces) == 10
    assert Counter(trace.finish_reason for trace in traces) == {
        FinishReason.STOP: 5,
        FinishReason.LENGTH: 5,
    }
    verdict = {origin.trace_id: origin.correct for origin in block.origins}
    assert all(verdict[t.trace_id] is (t.finish_reason == "stop") for t in traces)
    assert {trace.source_id for trace in traces} == {f"u{n}" for n in range(1, 6)}


def test_a_system_turn_is_kept_and_never_the_problem(tmp_path: Path) -> None:
    rows = public.rows(public.IMPORTS["conversations"])
    block, account = read(tmp_path, write(tmp_path, "set.jsonl", rows))
    assert account["system", "used"] == 3
    of = {origin.trace_id: origin.system for origin in block.origins}
    asked = {problem.problem_id: problem.prompt for problem in block.problems}
    for trace in block.traces[0]:
        n = next(n for n in range(1, 6) if asked[trace.problem_id] == public.question(n))
        assert of.get(trace.trace_id) == public.only_some(n)


def test_a_companion_brings_the_tokens_of_its_ids(tmp_path: Path) -> None:
    name = write(tmp_path, "set.jsonl", public.rows(public.superior))
    for file in ("tokens.jsonl", "tokens.parquet"):
        rows = [public.logprobs(n) for n in (5, 3, 1, 2, 9)]  # in another order, and one is absent
        companion = {"path": write(tmp_path, file, rows)}
        block, account = read(tmp_path, name, companion=companion)
        tokens = {t.source_id: t.token_ids for t in block.traces[0]}
        assert {key: None if ids is None else ids.tolist() for key, ids in tokens.items()} == {
            "u1": [1, 2],
            "u2": [2, 3],
            "u3": [3, 4],
            "u4": None,
            "u5": [5, 6],
        }
        assert (account["token_ids", "used"], account["token_ids", "missing"]) == (4, 1)


def test_an_account_is_read_by_people(tmp_path: Path) -> None:
    rows: list[public.Row] = [
        {"problem": "A", "answer": {"x": "\x1b[31m"}, "trace": "t", "finish_reason": "odd"},
        {"problem": "B", "answer": 1, "trace": "t"},
        {"problem": " ", "trace": "t"},
    ]
    write(tmp_path, "set.jsonl", rows)
    ledger = Ledger()
    list(import_blocks(TraceSource(path="set.jsonl"), 100, tmp_path, ledger))
    said = list(lines(ledger.rows("set")))
    assert said == [
        "rows: 3 (2 used, 1 rejected), traces: 2, problems: 2",
        "  problem    problem: 2 used, 1 rejected",
        "  trace      trace: 2 used, 1 rejected",
        "  thought    inside <think>: 2 missing, 1 rejected",
        "  answer     answer: 1 used, 1 not understood, 1 rejected",
        "             not understood: {'x': '\\x1b[31m'}",
        "  finish     finish_reason: 1 missing, 1 not understood, 1 rejected",
        "             not understood: odd",
        "  first reject: no problem text in 'problem'",
    ]
