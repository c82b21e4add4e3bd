"""What a column was pointed at is used, or refused with a reason, or counted as not understood."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rdpt_core.files.records import BadTable
from rdpt_core.sources.account import Ledger
from rdpt_core.sources.traces import ImportBlock, TraceSource, import_blocks
from rdpt_core.tables.rows import Trace

Row = dict[str, Any]


def read(folder: Path, *rows: Row, **settings: Any) -> tuple[ImportBlock, Ledger]:
    (folder / "set.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ledger = Ledger()
    source = TraceSource.model_validate({"path": "set.jsonl", **settings})
    (block,) = import_blocks(source, 100, folder, ledger)
    return block, ledger


def traces(block: ImportBlock) -> Iterator[Trace]:
    for group in block.traces:
        yield from group


def text_of(folder: Path, row: Row, **settings: Any) -> str:
    block, _ = read(folder, row, **settings)
    (trace,) = traces(block)
    return trace.text


def refused(folder: Path, row: Row, **settings: Any) -> str:
    block, ledger = read(folder, row, **settings)
    assert not list(traces(block))
    (reject,) = block.rejects
    assert [(r.became, r.num) for r in ledger.rows("set") if r.role == "rows"] == [("rejected", 1)]
    return reject.reason


# ---------------------------------------------------------------------------- golds


# ---------------------------------------------------------------------------- finish reasons


# ---------------------------------------------------------------------------- turns


def test_a_problem_in_two_columns_is_both(tmp_path: Path) -> None:
    rows = [{"instruction": "Do.", "input": text, "output": "x"} for text in ("1", "2", "")]
    block, _ = read(tmp_path, *rows)
    assert [p.prompt for p in block.problems] == ["Do.\n\n1", "Do.\n\n2", "Do."]
    named = [{"title": "A", "body": str(n), "output": "x"} for n in (1, 2)]
    block, _ = read(tmp_path, *named, columns={"problem": ["title", "body"]})
    assert [p.prompt for p in block.problems] == ["A\n\n1", "A\n\n2"]


# ---------------------------------------------------------------------------- thoughts


def test_a_thought_is_joined_by_the_declared_delimiters(tmp_path: Path) -> None:
    row = {"problem": "Q", "response": "A", "reasoning": "Hm."}
    assert text_of(tmp_path, row, delimiters="<|begin_of_thought|>") == (
        "<|begin_of_thought|>\nHm.\n<|end_of_thought|>\n\n"
        "<|begin_of_solution|>\nA\n<|end_of_solution|>"
    )
    with pytest.raises(BadTable, match="column 'reasoning' holds thoughts"):
        read(tmp_path, row, delimiters="none")


def test_a_thought_that_the_answer_repeats_is_joined_all_the_same(tmp_path: Path) -> None:
    row = {"problem": "Q", "response": "It is 2.", "reasoning": "2"}
    assert text_of(tmp_path, row) == "<think>\n2\n</think>\n\nIt is 2."


def test_a_thought_that_was_cut_is_not_closed(tmp_path: Path) -> None:
    for answer in (None, ""):
        row = {"problem": "Q", "response": answer, "reasoning": "Hm, so"}
        assert text_of(tmp_path, row) == "<think>\nHm, so"


def test_a_thought_that_the_text_holds_already_is_not_joined_twice(tmp_path: Path) -> None:
    text = "<think>\nHm.\n</think>\n\nA"
    assert text_of(tmp_path, {"problem": "Q", "response": text, "reasoning": "Hm."}) == text
    other = {"problem": "Q", "response": text, "reasoning": "Something else."}
    assert "another thought inside" in refused(tmp_path, other)


def test_a_switch_is_no_thought(tmp_path: Path) -> None:
    assert text_of(tmp_path, {"problem": "Q", "response": "A", "reasoning": "on"}) == "A"


def test_the_tags_of_another_convention_are_counted(tmp_path: Path) -> None:
    text = "<|begin_of_thought|>Hm.<|end_of_thought|>A"
    _, ledger = read(tmp_path, {"problem": "Q", "response": text})
    (odd,) = (row for row in ledger.rows("set") if row.became == "not understood")
    assert (odd.role, odd.example) == (
        "thought",
        "<|begin_of_thought|>, while the delimiters are <think>",
    )


# ---------------------------------------------------------------------------- several in a row


LISTS = {"problem": "Q", "generations": ["A", "B"]}


def test_parallel_lists_follow_their_traces(tmp_path: Path) -> None:
    row = {
        **LISTS,
        "finish_reasons": ["stop", "length"],
        "correctness_math_verify": [True, False],
        "token_ids": [[1], [2, 3]],
        "logprobs": [[-1.0], [-2.0, -3.0]],
        "model": "m",
        "completion_tokens": [1, 2],
        "reasoning": ["Hm.", None],
        "uuid": "u",
    }
    block, _ = read(tmp_path, row)
    found = {trace.text[-1]: trace for trace in traces(block)}
    origins = {origin.trace_id: origin for origin in block.origins}
    assert found["A"].text == "<think>\nHm.\n</think>\n\nA"
    assert found["B"].text == "B"
    of = {name: origins[trace.trace_id] for name, trace in found.items()}
    assert [(o.finish, o.correct, o.num_tokens) for o in (of["A"], of["B"])] == [
        ("stop", True, 1),
        ("length", False, 2),
    ]
    assert [t.token_ids.tolist() for t in (found["A"], found["B"]) if t.token_ids is not None] == [
        [1],
        [2, 3],
    ]
    assert {(trace.author, trace.source_id) for trace in found.values()} == {("m", "u")}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"finish_reasons": ["stop"]}, "1 in 'finish_reasons' for 2 in 'generations'"),
        ({"finish_reasons": "stop"}, "no list in 'finish_reasons' for 2 in 'generations'"),
        ({"token_ids": [1, 2, 3]}, "3 in 'token_ids' for 2 in 'generations'"),
        ({"generations": []}, "no trace in 'generations'"),
        ({"generations": [None, 3]}, "no text in 'generations'"),
    ],
)
def test_a_list_of_another_length_refuses_its_row(tmp_path: Path, more: Row, reason: str) -> None:
    assert reason in refused(tmp_path, {**LISTS, **more})


def test_one_bad_trace_of_a_row_is_noted_and_the_others_used(tmp_path: Path) -> None:
    row = {**LISTS, "generations": ["A", None, "C"], "finish_reasons": ["stop"] * 3}
    block, ledger = read(tmp_path, row)
    for role in ("trace", "finish"):
        account = {row.became: row.num for row in ledger.rows("set") if row.role == role}
        assert account == {"used": 2, "rejected": 1}
    assert {trace.text for trace in traces(block)} == {"A", "C"}
    assert [reject.reason for reject in block.rejects] == [
        "used, without trace 2: no text in 'generations'"
    ]


def test_a_row_of_several_traces_counts_once_for_the_limit(tmp_path: Path) -> None:
    rows = [{"problem": name, "generations": ["A", "B", "C"]} for name in "QRQ"]
    block, ledger = read(tmp_path, *rows, limit=1, candidates=4)
    assert len(list(traces(block))) == 4
    account = {row.became: row.num for row in ledger.rows("set") if row.role == "rows"}
    assert account == {"used": 2, "beyond the limit": 1}


# ---------------------------------------------------------------------------- what a person sees
