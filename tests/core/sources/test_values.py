"""What a column was pointed at is used, or refused with a reason, or counted as not understood."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rdpt_core.files.records import BadTable
from rdpt_core.sources.account import Ledger
from rdpt_core.sources.finish import finish_reason
from rdpt_core.sources.golds import gold_text, last_boxed
from rdpt_core.sources.preview import preview
from rdpt_core.sources.problems import FileSource, blocks
from rdpt_core.sources.traces import ImportBlock, TraceSource, import_blocks
from rdpt_core.tables.rows import FinishReason, Reject, Trace

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


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "True"),
        (False, "False"),
        (18, "18"),
        (-0.0, "0"),
        (3.0, "3"),
        (0.125, "0.125"),
        (1e-05, "0.00001"),
        (1e30, "1" + "0" * 30),
        (2**70, str(2**70)),
        (1e-7, "0.0000001"),
        (Decimal("12.50"), "12.5"),
        (Decimal("7.00"), "7"),
        (Decimal("1E+3"), "1000"),
        (datetime.date(2024, 2, 29), "2024-02-29"),
        (datetime.datetime(2024, 2, 29, 13), "2024-02-29T13:00:00"),
        (["2"], "2"),
        ([["2"]], "2"),
        ([1, 2.5, "x"], "1, 2.5, x"),
        ([None, "2"], "2"),
        (None, None),
        (float("nan"), None),
        ("", None),
        (" \n", None),
        ([], None),
        ([None], None),
        ("1e-05", "1e-05"),
        (" 7 ", "7"),
        ("so\n#### 1,000", "1000"),
    ],
)
def test_a_gold_is_text_exactly(value: Any, text: str | None) -> None:
    assert gold_text(value) == text


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1},
        [[1, 2], [3]],
        [1, {"a": 1}],
        float("inf"),
        Decimal("inf"),
        b"x",
        "####",
        datetime.timedelta(1),
    ],
)
def test_a_gold_that_may_mean_several_things_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        gold_text(value)


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        (r"\boxed{7}", "7"),
        (r"\boxed {7}", "7"),
        (r"\fbox{7}", "7"),
        (r"so \boxed 7.", "7"),
        (r"$\boxed -3.5$", "-3.5"),
        (r"\boxed{\frac{1}{2}} \fbox{\{1, {2}\}}", r"\{1, {2}\}"),
        (r"\boxed{1} then \boxed{2", None),
        (r"\boxed{}", None),
        (r"\boxedtext{1}", None),
        ("none", None),
        (r"\boxed", None),
    ],
)
def test_a_box_is_read_as_people_write_it(text: str, inner: str | None) -> None:
    assert last_boxed(text) == inner


def test_golds_of_any_column_of_parquet_are_used_or_counted(tmp_path: Path) -> None:
    columns = {
        "decimal": pa.array([Decimal("7.50"), None], pa.decimal128(10, 2)),
        "date": pa.array([datetime.date(2024, 2, 29), None]),
        "bool": pa.array([True, None]),
        "lists": pa.array([[[1], [2]], None]),
        "struct": pa.array([{"a": 1}, None]),
        "duration": pa.array([datetime.timedelta(1), None]),
        "double": pa.array([1e-05, float("nan")]),
    }
    table = pa.table({"problem": ["A", "B"], **columns})
    pq.write_table(table, tmp_path / "set.parquet")
    found = {}
    for name in columns:
        ledger = Ledger()
        source = FileSource.model_validate(
            {"source": "file", "path": "set.parquet", "columns": {"answer": name}}
        )
        (block,) = blocks(source, 9, tmp_path, ledger)
        account = {row.became: row.num for row in ledger.rows("set") if row.role == "answer"}
        found[name] = (block.problems[0].answer, account)
    used, odd = {"used": 1, "missing": 1}, {"not understood": 1, "missing": 1}
    assert found == {
        "decimal": ("7.5", used),
        "date": ("2024-02-29", used),
        "bool": ("True", used),
        "double": ("0.00001", used),
        "lists": (None, odd),
        "struct": (None, odd),
        "duration": (None, odd),
    }


def test_another_answer_of_a_problem_is_counted(tmp_path: Path) -> None:
    row = {"problem": "A", "trace": "x", "answer": "1"}
    block, ledger = read(tmp_path, row, {**row, "answer": "2", "trace": "y"})
    assert [problem.answer for problem in block.problems] == ["1"]
    account = {row.became: row.num for row in ledger.rows("set") if row.role == "answer"}
    assert account == {"used": 1, "contradicts an earlier row": 1}


# ---------------------------------------------------------------------------- finish reasons


@pytest.mark.parametrize(
    ("reason", "spellings"),
    [
        (
            "stop",
            [
                "stop",
                "STOP",
                "end_turn",
                "eos_token",
                "FinishReason.STOP",
                "stop_sequence",
                {"type": "stop"},
            ],
        ),
        (
            "length",
            [
                "length",
                "max_tokens",
                "MAX_TOKENS",
                "FinishReason.LENGTH",
                "max-tokens",
                {"type": "length", "length": 512},
            ],
        ),
        ("content_filter", ["content_filter", "SAFETY", "refusal"]),
        ("tool_calls", ["tool_calls", "tool_use", "function_call"]),
        ("error", ["abort", "error", "cancelled"]),
        ("unknown", [None, "", "null"]),
        (None, ["odd", 7, True, {"a": 1}, ["stop"]]),
    ],
)
def test_finish_reasons_as_servers_spell_them(reason: str | None, spellings: list[Any]) -> None:
    for spelling in spellings:
        assert finish_reason(spelling) == (reason and FinishReason(reason)), spelling


def test_a_finish_reason_that_is_not_understood_is_counted_and_kept(tmp_path: Path) -> None:
    row = {"problem": "A", "trace": "x", "finish_reason": "odd"}
    block, ledger = read(tmp_path, row, {**row, "trace": "y", "finish_reason": "MAX_TOKENS"})
    assert {trace.finish_reason for trace in traces(block)} == {"unknown", "length"}
    assert {origin.finish for origin in block.origins} == {"odd", "MAX_TOKENS"}
    (odd,) = (row for row in ledger.rows("set") if row.became == "not understood")
    assert (odd.role, odd.column, odd.num, odd.example) == ("finish", "finish_reason", 1, "odd")


# ---------------------------------------------------------------------------- turns


USER, REPLY = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}


def test_the_question_is_the_users_turn_wherever_it_stands(tmp_path: Path) -> None:
    system = {"role": "system", "content": "S"}
    for messages in (
        [USER, REPLY],
        [system, USER, REPLY],
        [{**system, "role": "developer"}, USER, REPLY],
    ):
        block, _ = read(tmp_path, {"messages": messages})
        assert [problem.prompt for problem in block.problems] == ["Q"]
        assert [trace.text for trace in traces(block)] == ["A"]
        assert [origin.system for origin in block.origins] == ["S"] * (len(messages) - 2)


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([USER, REPLY, USER, REPLY], "2 user turns"),
        ([USER, REPLY, REPLY], "2 replies"),
        ([REPLY, USER], "the reply comes before the question"),
        ([{"role": "system", "content": "S"}, REPLY], "0 user turns"),
        ([USER], "no reply in 'messages'"),
        ([USER, {"role": "tool", "content": "1"}, REPLY], "turn 2 is by 'tool'"),
        ([USER, {**REPLY, "tool_calls": [{"id": 1}]}], "turn 2 calls tools"),
        ([USER, {**REPLY, "content": [{"type": "image"}]}], "turn 2 holds something that is not"),
        ([{**USER, "content": " "}, REPLY], "no problem text in 'messages'"),
        ("nothing", "no conversation in 'messages'"),
    ],
)
def test_what_is_no_question_and_reply_is_refused_with_its_reason(
    tmp_path: Path, messages: Any, reason: str
) -> None:
    assert reason in refused(tmp_path, {"messages": messages})


def test_messages_may_be_parts_of_text_or_json_in_text(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]
    assert text_of(tmp_path, {"messages": [USER, {**REPLY, "content": parts}]}) == "AB"
    assert text_of(tmp_path, {"messages": json.dumps([USER, REPLY])}) == "A"


def test_prompt_and_completion_may_be_messages(tmp_path: Path) -> None:
    assert text_of(tmp_path, {"prompt": [USER], "completion": [REPLY]}) == "A"
    system = {"role": "system", "content": "S"}
    block, _ = read(tmp_path, {"prompt": "Q", "messages": [system, USER, REPLY]})
    assert [problem.prompt for problem in block.problems] == ["Q"]
    assert [origin.system for origin in block.origins] == ["S"]


def test_a_problem_in_two_columns_is_both(tmp_path: Path) -> None:
    rows = [{"instruction": "Do.", "input": text, "output": "x"} for text in ("1", "2", "")]
    block, _ = read(tmp_path, *rows)
    assert [p.prompt for p in block.problems] == ["Do.\n\n1", "Do.\n\n2", "Do."]
    named = [{"title": "A", "body": str(n), "output": "x"} for n in (1, 2)]
    block, _ = read(tmp_path, *named, columns={"problem": ["title", "body"]})
    assert [p.prompt for p in block.problems] == ["A\n\n1", "A\n\n2"]


# ---------------------------------------------------------------------------- thoughts


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking", "thought"])
def test_a_thought_in_a_field_of_its_own_is_joined(tmp_path: Path, name: str) -> None:
    whole = "<think>\nHm.\n</think>\n\nA"
    assert text_of(tmp_path, {"problem": "Q", "response": "A", name: "Hm."}) == whole
    assert text_of(tmp_path, {"messages": [USER, {**REPLY, name: "Hm."}]}) == whole


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


def test_a_preview_shows_rows_as_they_are_read_and_escapes_them(tmp_path: Path) -> None:
    odd = "\x1b[31m\u202e" + "y" * 200
    rows: list[Row] = [
        {"problem": odd, "trace": "<think>Hm.</think>A\nB", "answer": 7, "finish_reason": "STOP"},
        {"problem": "", "trace": "x"},
        {"problem": "Q", "trace": ["A", "B"]},
        {"problem": "never shown", "trace": "x"},
    ]
    read(tmp_path, *rows)
    said = list(preview(TraceSource(path="set.jsonl"), tmp_path))
    assert all(len(line) <= 80 and line.isprintable() for line in said)
    assert said[0].startswith("  row 1   problem  \\x1b[31m\\u202eyyy")
    assert said[1:6] == [
        "          thought  Hm.",
        "          answer   A\\nB",
        "          gold     7",
        "          finish   stop",
        "  row 2   rejected no problem text in 'problem'",
    ]
    assert said[-1] == "          more     1 other traces of this row"


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
