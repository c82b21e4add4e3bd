"""Traces of others come in byte for byte, grouped by problem, whatever the order of their rows."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from rdpt_core.sources.traces import ImportBlock, TraceSource, import_blocks
from rdpt_core.tables import columns, ids
from rdpt_core.tables.rows import FinishReason, Problem, Trace


def jsonl(folder: Path, rows: Sequence[Any]) -> None:
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    (folder / "set.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))


def row(problem: int, trace: str, **more: Any) -> dict[str, Any]:
    return {"problem": f"P{problem}", "gold_answer": str(problem), "trace": trace} | more


def read(folder: Path, part_size: int = 100, **settings: Any) -> list[ImportBlock]:
    source = TraceSource.model_validate({"path": "set.jsonl"} | settings)
    return list(import_blocks(source, part_size, folder))


def traces(found: Sequence[ImportBlock]) -> list[Trace]:
    return [trace for block in found for group in block.traces for trace in group]


def problems(found: Sequence[ImportBlock]) -> list[Problem]:
    return [problem for block in found for problem in block.problems]


def test_scattered_candidates_come_with_their_problem(tmp_path: Path) -> None:
    jsonl(tmp_path, [row(p, f"trace {k} of {p}") for k in range(3) for p in range(5)])
    found = read(tmp_path, 2)
    assert [len(block.problems) for block in found] == [2, 2, 1]
    assert [problem.prompt for problem in problems(found)] == [f"P{n}" for n in range(5)]
    for block in found:
        keys = [problem.problem_id for problem in block.problems]
        assert len(block.traces) == 3
        for index, group in enumerate(block.traces):
            assert [trace.problem_id for trace in group] == keys
            assert {trace.sample_index for trace in group} == {index}
    assert sorted(trace.text for trace in traces(found)) == sorted(
        f"trace {k} of {p}" for k in range(3) for p in range(5)
    )


def test_a_row_keeps_its_text_its_author_and_its_id(tmp_path: Path) -> None:
    text = "<think>\r\na\x00b\u2028é😀\n</think>\n\n1 \t"
    jsonl(tmp_path, [row(1, text, model="R1", trace_id="x-1", finish_reason="stop"), row(2, "y")])
    first, second = traces(read(tmp_path, name="mine"))
    problem = ids.problem_id("mine", "P1")
    assert first.text == text
    assert first.trace_id == ids.imported_trace_id(problem, "R1", text, 0)
    assert (first.author, first.source_id, first.finish_reason) == ("R1", "x-1", FinishReason.STOP)
    assert [zone.kind.value for zone in first.zones] == ["tag", "thought", "tag", "answer"]
    assert (second.author, second.source_id) == ("mine", None)
    assert second.finish_reason is FinishReason.UNKNOWN
    assert second.num_tokens is None


def test_problems_of_a_problem_source_have_the_same_ids(tmp_path: Path) -> None:
    jsonl(tmp_path, [row(1, "x")])
    assert problems(read(tmp_path, name="gsm8k"))[0].problem_id == ids.problem_id("gsm8k", "P1")


@pytest.mark.parametrize(
    ("delimiters", "text", "kinds"),
    [
        ("<think>", "<think>a</think>b", ["tag", "thought", "tag", "answer"]),
        ("<think>", "a</think>b", ["thought", "tag", "answer"]),
        ("none", "<think>a</think>b", ["answer"]),
        (
            "<|begin_of_thought|>",
            "<|begin_of_thought|>a<|end_of_thought|>\n<|begin_of_solution|>b<|end_of_solution|>",
            ["tag", "thought", "tag", "tag", "answer", "tag"],
        ),
        ({"open": "[[", "close": "]]"}, "[[a]]b", ["tag", "thought", "tag", "answer"]),
    ],
)
def test_delimiters(tmp_path: Path, delimiters: Any, text: str, kinds: list[str]) -> None:
    jsonl(tmp_path, [row(1, text)])
    (trace,) = traces(read(tmp_path, delimiters=delimiters))
    assert [zone.kind.value for zone in trace.zones] == kinds


@pytest.mark.fault("F42")
def test_identical_candidates_are_numbered(tmp_path: Path) -> None:
    jsonl(tmp_path, [row(1, "x", id="b"), row(1, "x", id="a"), row(1, "x", id="c", model="R1")])
    found = traces(read(tmp_path))
    assert len({trace.trace_id for trace in found}) == 3
    assert {trace.sample_index for trace in found} == {0, 1, 2}
    by_id = {trace.source_id: trace.trace_id for trace in found}
    problem = ids.problem_id("set", "P1")
    assert by_id["a"] == ids.imported_trace_id(problem, "set", "x", 0)
    assert by_id["b"] == ids.imported_trace_id(problem, "set", "x", 1)
    assert by_id["c"] == ids.imported_trace_id(problem, "R1", "x", 0)


@pytest.mark.fault("F42")
def test_three_orders_of_the_rows_give_the_same_tables(tmp_path: Path) -> None:
    rows = [row(p, f"{k} of {p}", id=f"{p}-{k}") for p in range(4) for k in (0, 1, 1)]
    digests = set()
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        jsonl(tmp_path, rows)
        found = read(tmp_path, 3)
        tables: list[tuple[type, list[Any]]] = [(Problem, problems(found)), (Trace, traces(found))]
        digests.add(
            tuple(columns.content_digest(kind, columns.in_key_order(kind, t)) for kind, t in tables)
        )
    assert len(digests) == 1


def test_limits_take_the_first_problems_and_some_candidates_of_each(tmp_path: Path) -> None:
    jsonl(tmp_path, [row(p, f"trace {k} of {p}") for k in range(3) for p in range(5)])
    whole, part = read(tmp_path, 2), read(tmp_path, 2, limit=4, candidates=2)
    assert [block.problems for block in part] == [block.problems for block in whole[:2]]
    assert [block.traces for block in part] == [block.traces[:2] for block in whole[:2]]


def test_a_longer_file_keeps_its_full_blocks(tmp_path: Path) -> None:
    rows: list[Any] = [row(p, f"trace of {p}") for p in range(4)]
    jsonl(tmp_path, rows)
    before = read(tmp_path, 2)
    jsonl(tmp_path, [*rows, b"broken", row(4, "new")])
    after = read(tmp_path, 2)
    assert after[:2] == before
    assert (len(after[2].problems), len(after[2].rejects)) == (1, 1)


def test_answers_may_be_missing_or_come_later(tmp_path: Path) -> None:
    jsonl(
        tmp_path,
        [
            {"problem": "A", "trace": "x"},
            {"problem": "A", "trace": "y", "answer": "#### 1,000"},
            {"problem": "B", "trace": "z", "answer": None},
        ],
    )
    assert [problem.answer for problem in problems(read(tmp_path))] == ["1000", None]


def test_an_empty_trace_is_a_trace_without_zones(tmp_path: Path) -> None:
    jsonl(tmp_path, [row(1, ""), row(2, " \n")])
    empty, blank = traces(read(tmp_path))
    assert (empty.text, empty.zones) == ("", ())
    assert [zone.stop for zone in blank.zones] == [2]


@pytest.mark.fault("F24")
def test_tokens_and_logprobs_are_checked_and_kept(tmp_path: Path) -> None:
    good = row(1, "x", token_ids=[5, 7], logprobs=[-0.5, 2e-7])  # a certainty, rounded up
    bad = [
        row(2, "x", token_ids=[5, 7], logprobs=[-0.5]),
        row(3, "x", token_ids=[5], logprobs=[0.1]),
        row(4, "x", token_ids=[5], logprobs=[float("nan")]),
        row(5, "x", token_ids=[-1]),
        row(6, "x", token_ids="5"),
        row(7, "x", logprobs=[-0.5]),
    ]
    jsonl(tmp_path, [good, *bad, row(8, "x")])
    (block,) = read(tmp_path)
    first, last = traces([block])
    assert first.token_ids is not None
    assert first.logprobs is not None
    assert (first.num_tokens, first.token_ids.tolist()) == (2, [5, 7])
    assert first.logprobs.dtype == np.float32
    assert first.logprobs.tolist() == [-0.5, 0.0]
    assert (last.token_ids, last.logprobs) == (None, None)
    assert [json.loads(reject.raw)["problem"] for reject in block.rejects] == [
        f"P{n}" for n in range(2, 8)
    ]
    assert "1 log-probabilities for 2 token ids" in block.rejects[0].reason


def test_unusable_rows_are_rejects_with_their_bytes_and_reason(tmp_path: Path) -> None:
    bad = [
        b'{"problem": "cut',
        b'{"problem": "A"}',
        b'{"trace": "x"}',
        b'{"problem":"A","trace":1}',
    ]
    jsonl(tmp_path, [row(1, "x"), *bad])
    (block,) = read(tmp_path)
    assert [reject.raw for reject in block.rejects] == bad
    assert [reject.item for reject in block.rejects] == [1, 2, 3, 4]
    assert {reject.source for reject in block.rejects} == {"set"}
    assert len(traces([block])) == 1


def test_a_file_without_a_usable_row_is_rejects_alone(tmp_path: Path) -> None:
    jsonl(tmp_path, [{"problem": "A", "trace": None}])
    (block,) = read(tmp_path)
    assert (block.problems, block.traces, len(block.rejects)) == ((), (), 1)


@pytest.mark.fault("F31")
def test_a_lone_surrogate_is_replaced_and_its_bytes_are_kept(tmp_path: Path) -> None:
    raw = b'{"problem": "P", "trace": "a\\udc00b"}'
    jsonl(tmp_path, [raw])
    (block,) = read(tmp_path)
    assert [trace.text for trace in traces([block])] == ["a\ufffdb"]
    assert [reject.raw for reject in block.rejects] == [raw]


def test_parquet_and_jsonl_give_the_same_rows(tmp_path: Path) -> None:
    rows = [
        row(p, f"{k} of {p} é", model="m", token_ids=[p, k], logprobs=[-0.5, -1.0])
        for k in range(3)
        for p in range(6)
    ]
    jsonl(tmp_path, rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "set.parquet", row_group_size=4)
    from_parquet = traces(read(tmp_path, 4, path="set.parquet"))
    from_jsonl = traces(read(tmp_path, 4))
    assert columns.content_digest(Trace, from_parquet) == columns.content_digest(Trace, from_jsonl)


def test_a_missing_column_is_named_with_the_nearest_spelling(tmp_path: Path) -> None:
    jsonl(tmp_path, [{"problem": "A", "respnse": "x"}])
    with pytest.raises(ValueError, match=r"'response'.*did you mean 'respnse'"):
        read(tmp_path, columns={"trace": "response"})
    with pytest.raises(ValueError, match=r"looks like the trace"):
        read(tmp_path)


def test_a_source_is_a_file_or_a_hub_id() -> None:
    with pytest.raises(ValidationError, match="one of them"):
        TraceSource()
    with pytest.raises(ValidationError, match="one of them"):
        TraceSource(path="a.jsonl", hub="b/c")
    with pytest.raises(ValidationError, match="delimiters 'thinking' is not known"):
        TraceSource(path="a.jsonl", delimiters="thinking")
    assert TraceSource(hub="b/c").label == "b/c"
