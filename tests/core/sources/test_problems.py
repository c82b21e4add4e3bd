"""Problems are read as public files have them, and a row that cannot be used is kept as it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter, ValidationError

from rdpt_core.sources.naming import ProblemColumns
from rdpt_core.sources.problems import Block, FileSource, PocketSource, ProblemSource, blocks
from rdpt_core.sources.traces import TraceSource, import_blocks
from rdpt_core.tables import ids
from rdpt_core.tables.rows import Problem, Reject


def jsonl(folder: Path, rows: Sequence[Any], name: str = "set.jsonl") -> Path:
    """Rows that are bytes are written as they are."""
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path = folder / name
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def source(**settings: Any) -> FileSource:
    return FileSource.model_validate({"source": "file", "path": "set.jsonl"} | settings)


def read(folder: Path, part_size: int = 100, **settings: Any) -> list[Block]:
    return list(blocks(source(**settings), part_size, folder))


def problems(found: Sequence[Block]) -> list[Problem]:
    return [problem for block in found for problem in block.problems]


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ({"question": "Q", "answer": "2+2=<<2+2=4>>4\n#### 1,234,567"}, "1234567"),
        ({"problem": "Q", "gold_answer": "18", "solution": "so 18"}, "18"),
        ({"ID": "2024-I-1", "Problem": "Q", "Solution": "so it is", "Answer": 204}, "204"),
        (
            {
                "problem": "Q",
                "solution": "so \\boxed{\\frac{1}{2}}",
                "answer": "\\frac{1}{2}",
                "subject": "Algebra",
                "level": 2,
                "unique_id": "test/1.json",
            },
            "\\frac{1}{2}",
        ),
        (
            {
                "problem": "Q",
                "level": "Level 5",
                "type": "Algebra",
                "solution": "\\boxed{1}, so \\boxed{\\sqrt{\\frac{2}{3}}}.",
            },
            "\\sqrt{\\frac{2}{3}}",
        ),
        ({"question": "Q", "final_answer": ["$2$"], "answer_type": "Numerical"}, "$2$"),
        ({"problem": "Q", "answer": 3.0}, "3"),
        ({"problem": "Q", "solution": "no box"}, None),
        ({"problem": "Q"}, None),
        ({"problem": "Q", "answer": None}, None),
        ({"problem": "Q", "answer": " "}, None),
    ],
    ids=[
        "gsm8k",
        "ours",
        "aime",
        "math500",
        "math",
        "olympiad",
        "float",
        "no box",
        "missing",
        "null",
        "blank",
    ],
)
def test_public_forms_are_read_without_a_column_map(
    tmp_path: Path, row: dict[str, Any], answer: str | None
) -> None:
    jsonl(tmp_path, [row])
    (problem,) = problems(read(tmp_path))
    assert (problem.prompt, problem.answer, problem.source) == ("Q", answer, "set")
    assert problem.domain == (row.get("subject") or row.get("type") or "")
    assert problem.problem_id == ids.problem_id("set", "Q")


def test_a_missing_or_unknown_file_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"set\.jsonl is not a file"):
        read(tmp_path)
    (tmp_path / "set.pkl").write_text("x")
    with pytest.raises(ValueError, match=r"ends in \.pkl: rdpt reads \.jsonl"):
        read(tmp_path, path="set.pkl")


def test_unusable_rows_are_rejects_with_their_bytes_and_reason(tmp_path: Path) -> None:
    bad = [
        b'{"problem": "cut',
        b"[1]",
        b'{"problem": 3}',
        b'{"problem": " "}',
        b'"\xff"',
        b"[" * 9999,
    ]
    jsonl(tmp_path, [{"problem": "A"}, *bad, b"", {"problem": "B"}])
    (block,) = read(tmp_path)
    assert [problem.prompt for problem in block.problems] == ["A", "B"]
    assert [reject.raw for reject in block.rejects] == bad
    assert [reject.item for reject in block.rejects] == [1, 2, 3, 4, 5, 6]
    assert [reject.reason.partition(":")[0] for reject in block.rejects] == [
        "not JSON",
        "a JSON list, not an object",
        "no problem text in 'problem'",
        "no problem text in 'problem'",
        "not UTF-8 at byte 1",
        "not JSON",
    ]


@pytest.mark.fault("F42")
def test_a_problem_that_comes_again_is_one_problem(tmp_path: Path) -> None:
    row = {"problem": "A", "answer": "1"}
    other = {"problem": "A", "answer": "2"}
    jsonl(tmp_path, [row, row, other, {"problem": "B"}])
    (block,) = read(tmp_path)
    assert [(problem.prompt, problem.answer) for problem in block.problems] == [
        ("A", "1"),
        ("B", None),
    ]
    assert block.num_duplicates == 1
    assert [reject.reason for reject in block.rejects] == [
        "the same problem came before with another answer"
    ]


@pytest.mark.fault("F42")
def test_two_problems_under_one_id_are_refused(tmp_path: Path) -> None:
    rows = [{"problem": "A", "key": 1}, {"problem": "A", "key": 1}, {"problem": "B", "key": 1}]
    jsonl(tmp_path, rows)
    (block,) = read(tmp_path, columns={"id": "key"})
    assert [problem.prompt for problem in block.problems] == ["A"]
    assert [reject.reason for reject in block.rejects] == ["the id 1 belongs to another problem"]


def test_limit_takes_a_prefix_and_growing_keeps_full_blocks(tmp_path: Path) -> None:
    rows: list[Any] = [{"problem": f"P{n}"} for n in range(20)]
    rows[9:9] = [b"broken", b"too"]
    jsonl(tmp_path, rows)
    short, whole = read(tmp_path, 4, limit=10), read(tmp_path, 4)
    assert [len(block.problems) for block in short] == [4, 4, 2]
    assert short[:2] == whole[:2]
    jsonl(tmp_path, [*rows, b"broken too", {"problem": "P20"}])
    grown = read(tmp_path, 4)
    assert grown[:5] == whole
    assert [len(grown[5].problems), len(grown[5].rejects)] == [1, 1]


def test_rejects_after_the_last_full_block_have_a_block_of_their_own(tmp_path: Path) -> None:
    jsonl(tmp_path, [{"problem": "A"}, {"problem": "B"}, b"broken"])
    assert [(len(block.problems), len(block.rejects)) for block in read(tmp_path, 2)] == [
        (2, 0),
        (0, 1),
    ]


@pytest.mark.fault("F42")
def test_shuffle_orders_by_digest_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    rows = [{"problem": f"P{n}"} for n in range(30)]
    jsonl(tmp_path, rows)
    once = read(tmp_path, 8, shuffle=True, seed=3, limit=20)
    jsonl(tmp_path, rows[::-1])
    assert read(tmp_path, 8, shuffle=True, seed=3, limit=20) == once
    assert read(tmp_path, 8, shuffle=True, seed=4, limit=20) != once
    ranks = [ids.digest(3, problem.problem_id) for problem in problems(once)]
    assert ranks == sorted(ranks)
    assert [len(block.problems) for block in once] == [8, 8, 4]


@pytest.mark.parametrize("shuffle", [False, True])
def test_parquet_and_jsonl_give_the_same_problems(tmp_path: Path, shuffle: bool) -> None:
    rows = [{"question": f"P{n} é", "answer": f"#### {n}"} for n in range(30)]
    jsonl(tmp_path, rows)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "set.parquet", row_group_size=7)
    assert read(tmp_path, 8, path="set.parquet", shuffle=shuffle) == read(
        tmp_path, 8, shuffle=shuffle
    )


def test_a_parquet_row_that_is_not_utf8_is_a_reject(tmp_path: Path) -> None:
    bytes_column = pa.array([b"good", b"\xff\xfe"], pa.binary())
    strings = pa.Array.from_buffers(pa.string(), 2, bytes_column.buffers())
    pq.write_table(pa.table({"problem": strings}), tmp_path / "set.parquet")
    (block,) = read(tmp_path, path="set.parquet")
    assert [problem.prompt for problem in block.problems] == ["good"]
    assert [reject.reason for reject in block.rejects] == ["problem is not UTF-8 at byte 0"]


def test_pocket_problems_grow_by_their_limit() -> None:
    few = list(blocks(PocketSource(source="pocket", split="bench", limit=6), 4))
    more = list(blocks(PocketSource(source="pocket", split="bench", limit=9), 4))
    assert [len(block.problems) for block in more] == [4, 4, 1]
    assert more[:1] == few[:1]
    assert more[1].problems[:2] == few[1].problems
    assert {problem.domain for problem in problems(more)} == {f"depth-{d}" for d in range(1, 7)}
    assert all(problem.answer and problem.split == "bench" for problem in problems(more))


def test_sources_are_told_apart_by_their_field_and_refuse_unknown_keys() -> None:
    parse = TypeAdapter[Any](ProblemSource).validate_python
    hub = parse({"source": "hub", "path": "openai/gsm8k", "config": "main", "revision": "a" * 40})
    assert (hub.label, hub.split) == ("openai/gsm8k", "test")
    assert parse({"source": "file", "path": "a/b.jsonl", "name": "mine"}).label == "mine"
    with pytest.raises(ValidationError, match="limit"):
        parse({"source": "pocket"})
    with pytest.raises(ValidationError, match="colums"):
        parse({"source": "file", "path": "x", "colums": {}})
    assert ProblemColumns().problem is None


def test_rejects_that_would_fill_the_memory_come_in_several_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rdpt_core.sources.traces.MOST_BYTES", 100)
    monkeypatch.setattr("rdpt_core.sources.problems.MOST_BYTES", 100)
    rows = [{"problem": "A" if n == 5 else "", "trace": "x" * 30} for n in range(12)]
    (tmp_path / "set.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    groups: list[list[tuple[Reject, ...]]] = [
        [b.rejects for b in import_blocks(TraceSource(path="set.jsonl"), 9, tmp_path)],
        *(
            [
                b.rejects
                for b in blocks(
                    FileSource(source="file", path="set.jsonl", shuffle=shuffle), 9, tmp_path
                )
            ]
            for shuffle in (False, True)
        ),
    ]
    for found in groups:
        assert max(map(len, found)) == 2
        assert sorted(reject.item for group in found for reject in group) == [
            n for n in range(12) if n != 5
        ]
