"""The fuzz targets on some inputs, and on those that once broke them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from settings.loading import BadSettings, read_experiment
from settings.shipped import shipped
from tests.fuzz import targets

FEW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the file is written anew
)
MARKS = [
    "<think>",
    "</think>",
    "<|begin_of_thought|>",
    "<|end_of_solution|>",
    ". ",
    "$",
    "\\[",
    "\\begin{a}",
    "```\n",
    "\n\n",
    "1. ",
    "e.g. ",
    "A",
    "k",
    "\u00a0",
    "\u2028",
    "\u3000",
    "\x85",
    "。",
    "“",
    "\x00",
    "é",
    "😀",
]
TEXTS = st.lists(st.sampled_from(MARKS) | st.text(max_size=3), max_size=30).map("".join)


@given(TEXTS.map(lambda text: text.encode("utf-8", "replace")) | st.binary(max_size=80))
@example("q. A\u00a0. k".encode())  # sentencex panicked
@example("A\u2028. d".encode())
@FEW
def test_any_text_is_covered_by_zones_and_sentences(raw: bytes) -> None:
    targets.text(raw)


ODD = st.sampled_from(["\ud800", "#### 1,000", "\\boxed{", "<think>", 1e308, -(10**400)])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | ODD
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=5,
)
KEYS = st.sampled_from(
    [
        "problem",
        "trace",
        "answer",
        "solution",
        "id",
        "model",
        "finish_reason",
        "token_ids",
        "logprobs",
    ]
)
OBJECTS = st.fixed_dictionaries(
    {"problem": st.sampled_from(["A", "B", "C"]) | LEAVES, "trace": TEXTS | LEAVES},
    optional={"answer": VALUES, "token_ids": VALUES, "logprobs": VALUES, "id": VALUES},
)
LINES = st.lists(
    (OBJECTS | st.dictionaries(KEYS, VALUES)).map(lambda row: json.dumps(row).encode())
    | st.binary(max_size=12).map(lambda raw: raw.replace(b"\n", b"")),
    max_size=6,
)


@given(LINES.map(b"\n".join), st.sampled_from([b"", b"\xef\xbb\xbf"]))
@example(b'{"problem": "A", "trace": "x", "answer": NaN, "id": NaN}', b"")
@example(
    b'{"problem": "A", "trace": "x", "token_ids": [1], "logprobs": [-1%s]}' % (b"0" * 400), b""
)
@example(b'{"problem": "A", "trace": "x", "answer": 1%s}' % (b"0" * 5000), b"")
@FEW
def test_any_lines_are_rows_or_rejects(tmp_path: Path, raw: bytes, mark: bytes) -> None:
    (tmp_path / "rows.jsonl").write_bytes(mark + raw)
    targets.rows(tmp_path / "rows.jsonl")


@pytest.mark.fault("F10")
@given(st.integers(min_value=0), st.integers(0, 255), st.booleans())
@FEW
def test_any_damage_to_a_parquet_file_is_told_or_does_no_harm(
    tmp_path: Path, place: int, byte: int, cut: bool
) -> None:
    file = tmp_path / "rows.parquet"
    row = {"problem": "A", "trace": "<think>x</think>y", "token_ids": [1], "logprobs": [-0.5]}
    pq.write_table(pa.Table.from_pylist([row] * 3), file, compression="none")
    data = bytearray(file.read_bytes())
    place %= len(data)
    data[place] = byte
    file.write_bytes(data[:place] if cut else data)
    targets.rows(file)


ODD_COLUMNS = {
    "a date beyond every calendar": pa.array([2**62], pa.timestamp("us")),
    "nanoseconds": pa.array([1], pa.timestamp("ns")),
    "nested text that is not UTF-8": pa.array([[b"\xff"]], pa.list_(pa.binary())).cast(
        pa.list_(pa.string()), safe=False
    ),
    "a map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
    "a dictionary": pa.array(["x"]).dictionary_encode(),
    "not a number": pa.array([float("nan")]),
}


@pytest.mark.parametrize("name", ODD_COLUMNS)
def test_a_column_of_an_odd_kind_costs_its_row_at_most(tmp_path: Path, name: str) -> None:
    names = ["problem", "trace", "answer"]
    table = pa.table([pa.array(["A"]), pa.array(["x"]), ODD_COLUMNS[name]], names=names)
    pq.write_table(table, tmp_path / "rows.parquet")
    targets.rows(tmp_path / "rows.parquet")


def test_two_columns_of_one_name_are_read(tmp_path: Path) -> None:
    table = pa.table(
        [pa.array(["A"]), pa.array(["x"]), pa.array(["y"])], names=["problem", "trace", "trace"]
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    targets.rows(tmp_path / "rows.parquet")


SHIPPED = {name: path.read_text(encoding="utf-8") for name, path in shipped().items()}
ODD_VALUES = st.sampled_from(
    [
        "nan",
        "-inf",
        "1979-05-27",
        "[]",
        "{}",
        '""',
        '"\\u0000"',
        "true",
        "-1",
        "9" * 5000,
        "9" * 30,
        "[" * 3000,
        "0x",
        "1e999",
        "'''",
        '"~nobody-here/x"',
    ]
)


@pytest.mark.fault("F36")
@given(st.sampled_from(sorted(SHIPPED)), st.integers(min_value=0), ODD_VALUES)
@FEW
def test_any_value_of_any_setting_is_taken_or_refused(
    tmp_path: Path, name: str, line: int, value: str
) -> None:
    lines = SHIPPED[name].splitlines()
    settable = [number for number, text in enumerate(lines) if " = " in text]
    chosen = settable[line % len(settable)]
    lines[chosen] = f"{lines[chosen].partition(' = ')[0]} = {value}"
    (tmp_path / "study.toml").write_text("\n".join(lines), encoding="utf-8")
    targets.settings(tmp_path / "study.toml")


def _keys(table: Any) -> set[str]:
    if isinstance(table, list):
        return {key for item in table for key in _keys(item)}
    if not isinstance(table, dict):
        return set()
    return set(table).union(*(_keys(value) for value in table.values()))


@pytest.mark.fault("F36")
@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_letter_too_few_in_any_key_is_refused_with_the_right_spelling(
    tmp_path: Path, name: str
) -> None:
    file = tmp_path / "study.toml"
    for key in _keys(tomllib.loads(SHIPPED[name])):
        for wrong in {key[1:], key[:-1], key[:1] + key[2:]}:
            spelled = SHIPPED[name].replace(f"{key} = ", f"{wrong} = ", 1)
            if spelled == SHIPPED[name]:
                continue  # the header of a table
            file.write_text(spelled, encoding="utf-8")
            with pytest.raises(BadSettings) as error:
                read_experiment(file)
            assert f"{wrong}: unknown key" in str(error.value)
            assert f"did you mean {key}?" in str(error.value)
