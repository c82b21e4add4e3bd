"""Tables in somebody's files: read as they are, written whole or not at all."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rdpt_core.files import reading
from rdpt_core.files.reading import TableReader, numbers, open_table, to_batch, values
from rdpt_core.files.records import BadTable
from rdpt_core.files.writing import create_table

TEXT = 'a "b", \r\n\r\u2028\x00 e\u0301 🙂'
ROWS: list[dict[str, Any]] = [
    {"text": TEXT, "day": "2024-01-01", "code": "007", "n": 1, "p": 0.1, "list": [1.5, None]},
    {"text": "", "day": "NA", "code": "1e5", "n": None, "p": None, "list": []},
]


def batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    return to_batch(rows, list(dict.fromkeys(name for row in rows for name in row)))


def write(path: Path, *batches: pa.RecordBatch) -> Path:
    with create_table(str(path)) as out:
        for one in batches:
            out.write(one)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [dict(row) for row in open_table(str(path)).rows()]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_what_is_written_is_read_again(tmp_path: Path, suffix: str) -> None:
    assert read(write(tmp_path / f"t{suffix}", batch(ROWS))) == ROWS


def test_csv_cells_are_text_byte_for_byte(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", batch(ROWS))
    first, second = read(path)
    assert (first["text"], first["code"], second["day"]) == (TEXT, "007", "NA")
    assert (first["list"], second["list"], second["n"], second["p"]) == (
        "[1.5, null]",
        "[]",
        "",
        "",
    )
    again = write(tmp_path / "again.csv", *open_table(str(path)).batches())
    assert again.read_bytes() == path.read_bytes()


def test_objects_and_mixed_values_stay_json(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"o": {"a": 1}, "m": "5"},
        {"o": {"b": [2]}, "m": 5},
        {"o": None, "m": None},
    ]
    path = write(tmp_path / "t.jsonl", batch(rows))
    assert read(path) == rows
    kept = pq.read_table(write(tmp_path / "t.parquet", batch(rows)))
    assert [values(kept.column(name)) for name in ("o", "m")] == [
        [{"a": 1}, {"b": [2]}, None],
        ["5", 5, None],
    ]


def test_a_column_of_parquet_may_widen_or_begin_late(tmp_path: Path) -> None:
    pieces: list[list[dict[str, Any]]] = [
        [{"a": None}],
        [{"a": 1}],
        [{"a": 0.5, "b": [1]}],
        [{"b": None}],
    ]
    path = write(tmp_path / "t.parquet", *map(batch, pieces))
    assert read(path) == [
        {"a": None, "b": None},
        {"a": 1.0, "b": None},
        {"a": 0.5, "b": [1]},
        {"a": None, "b": None},
    ]
    assert pq.read_schema(path).field("a").type == pa.float64()


def test_a_column_of_two_types_is_refused_and_leaves_what_was_there(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "t.parquet", batch([{"a": "old"}]))
    with pytest.raises(BadTable, match=r"t\.parquet: a column changes its type.*\.jsonl"):
        write(path, batch([{"a": "text"}]), batch([{"a": 1}]))
    assert read(path) == [{"a": "old"}]
    assert list(tmp_path.iterdir()) == [path]
    assert capfd.readouterr().err == ""


BAD: dict[str, tuple[str, bytes, str]] = {
    "empty": ("t.jsonl", b"", "t.jsonl is empty"),
    "blank lines alone": ("t.jsonl", b"\n\n", "its first line is blank, and all others"),
    "no JSON": (
        "t.jsonl",
        b'\xef\xbb\xbf{"a": 1}\n\n{"a": }\n',
        "line 3: not JSON: Expecting value",
    ),
    "NUL in JSON": ("t.jsonl", b'{"a": "\x00"}\n', "line 1: not JSON: Invalid control"),
    "surrogate": ("t.jsonl", b'{"a": 1}\n{"a": "\\ud800"}\n', r"line 2: holds a lone surrogate"),
    "latin-1": ("t.jsonl", b'{"a": "\xe9"}\n', "line 1: not UTF-8 at byte 7"),
    "a list": ("t.jsonl", b"[1]\n", "line 1: a JSON list, not an object"),
    "a key twice": (
        "t.jsonl",
        b'{"a": 1, "a": 2}\n',
        "line 1: not JSON: the key 'a'",
    ),
    "an element": ("t.json", b'[{"a": 1}, 2]', "row 2: a JSON int, not an object"),
    "deep": ("t.jsonl", b"[" * 100_000, "line 1: not JSON"),
    "no cells": ("t.csv", b"", "t.csv is empty"),
    "a cell too few": ("t.csv", b"a,b\n1,2\n3\n", "line 3: 1 cells where the line of names has 2"),
    "open quote": ("t.csv", b'a,b\n"1,2\n', "line 2: not CSV: unexpected end of data"),
    "latin-1 cells": ("t.csv", b"a\n\xe9\n", "line 2: not UTF-8"),
    "a name twice": ("t.csv", b"a,a\n1,2\n", "t.csv has two columns 'a'"),
    "no Parquet": ("t.parquet", b"PAR1 and so on", "t.parquet is no Parquet file, or is cut"),
    "suffix": ("t.txt", b"a", r"ends in \.txt: rdpt reads \.jsonl, \.jsonl\.gz"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_named_with_the_place_in_it(tmp_path: Path, case: str) -> None:
    name, content, message = BAD[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadTable, match=message):
        list(open_table(str(tmp_path / name)).batches())


@pytest.mark.parametrize("kept", [60, 200, -1])
def test_a_cut_parquet_file_is_refused(tmp_path: Path, kept: int) -> None:
    path = write(tmp_path / "t.parquet", batch(ROWS))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BadTable, match="cut"):
        read(path)


def test_text_of_parquet_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    latin = pa.array([b"\xe9"]).view(pa.string())
    pq.write_table(pa.table({"a": latin}), tmp_path / "t.parquet")
    with pytest.raises(BadTable, match="UTF8"):
        read(tmp_path / "t.parquet")


def packed(path: Path, content: bytes) -> Path:
    with pa.output_stream(str(path), compression="detect") as file:
        file.write(content)
    return path


def test_whatever_an_import_reads_a_tool_reads(tmp_path: Path) -> None:
    rows = [{"a": 1, "b": "x"}, {"a": 2, "b": ""}]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (tmp_path / "t.json").write_text(json.dumps(rows))
    (tmp_path / "shards").mkdir()
    for number, row in enumerate(rows):
        write(tmp_path / "shards" / f"{number}.jsonl", batch([row]))
    places = [
        packed(tmp_path / "t.jsonl.gz", lines),
        packed(tmp_path / "t.jsonl.zst", lines),
        tmp_path / "t.json",
        tmp_path / "shards",
    ]
    assert [read(place) for place in places] == [rows] * 4


def test_missing_columns_are_named_with_those_that_are_there(tmp_path: Path) -> None:
    table = open_table(str(write(tmp_path / "t.csv", batch([{"a": 1, "b": 2}]))))
    table.require("a", "b")
    with pytest.raises(BadTable, match="no column c, d: needed are a, c, d; found are a, b"):
        table.require("a", "c", "d")


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_files_are_read_in_bounded_pieces(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / f"t{suffix}", batch([{"a": row, "b": "x"} for row in range(10)]))
    monkeypatch.setattr(reading, "ROWS", 4)
    batches = list(open_table(str(path)).batches(("a",)))
    assert [one.num_rows for one in batches] == [4, 4, 2]
    assert [int(a) for one in batches for a in values(one.column("a"))] == list(range(10))
    assert batches[0].schema.names == ["a"]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_without_rows_has_columns(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"t{suffix}", batch(ROWS).slice(0, 0))
    (only,) = open_table(str(path)).batches()
    assert (only.num_rows, only.schema.names) == (0, list(ROWS[0]))


def test_numbers_are_nan_where_a_cell_is_empty_and_nothing_else_is() -> None:
    table = TableReader("t.csv", ["p"])
    found = numbers(batch([{"p": "0.5"}, {"p": ""}, {"p": "1e-3"}, {"p": None}]), "p", table, 0)
    np.testing.assert_array_equal(found, [0.5, np.nan, 0.001, np.nan])
    assert numbers(batch([{"p": 1}, {"p": 2}]), "p", table, 0).tolist() == [1.0, 2.0]
    for value, shown in [("x", "x"), (float("nan"), "NaN"), ("nan", "NaN"), ([1], r"\[1\]")]:
        with pytest.raises(BadTable, match=rf"t\.csv: row 13: p {shown} is not a number"):
            numbers(batch([{"p": None}, {"p": None}, {"p": value}]), "p", table, 10)


def test_infinity_has_no_json(tmp_path: Path) -> None:
    rows = batch([{"p": float("nan"), "l": [float("nan"), 1.0]}])
    assert read(write(tmp_path / "t.jsonl", rows)) == [{"p": None, "l": [None, 1.0]}]
    with pytest.raises(BadTable, match=r"column p .* holds what JSON cannot"):
        write(tmp_path / "u.jsonl", batch([{"p": float("inf")}]))
    assert not (tmp_path / "u.jsonl").exists()


def test_truth_values_are_no_numbers() -> None:
    table = TableReader("t.jsonl", ["p"])
    for before, value, shown in [
        (None, True, "true"),
        (None, False, "false"),
        (0.5, True, "true"),
        (0, False, "false"),
        (0.25, "0.5", "0.5"),
    ]:
        with pytest.raises(BadTable, match=rf"t\.jsonl: row 12: p {shown} is not a number"):
            numbers(batch([{"p": before}, {"p": value}]), "p", table, 10)
    empty = pa.record_batch([pa.nulls(2, pa.bool_())], ["p"])
    assert np.isnan(numbers(empty, "p", table, 0)).all()


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_bytes_are_written_to_parquet_alone(tmp_path: Path, suffix: str) -> None:
    rows = pa.record_batch([pa.array([None, b"x"])], ["b"])
    with pytest.raises(BadTable, match=r"column b \(binary\) holds what JSON cannot: bytes"):
        write(tmp_path / f"t{suffix}", rows)
    assert list(tmp_path.iterdir()) == []
    assert read(write(tmp_path / "t.parquet", rows))[1] == {"b": b"x"}


class Output(io.TextIOWrapper):
    """Standard output, of a terminal or not."""

    def __init__(self, terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize("terminal", [True, False])
def test_nothing_written_to_a_terminal_can_act_on_it(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "\x9b2J \u202e \x7f \x1b[2J é 🙂"
    row = {f"name {text}": text, "mixed": {text: [text]}}
    output = Output(terminal)
    monkeypatch.setattr("sys.stdout", output)
    with create_table("-") as out:
        out.write(batch([row]))
    written = output.buffer.getvalue().decode()  # type: ignore[attr-defined]
    assert json.loads(written) == row
    assert (written[:-1].isascii() and written[:-1].isprintable()) == terminal
    assert ("🙂" in written) != terminal


@pytest.mark.fault("F32")
def test_a_megabyte_is_one_cell(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", batch([{"text": "x, " * 350_000}]))
    assert read(path)[0]["text"] == "x, " * 350_000


def test_standard_input_is_jsonl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"a": 1}\n{"b": 2}')))
    assert [one.to_pylist() for one in open_table("-").batches()] == [
        [{"a": 1, "b": None}, {"a": None, "b": 2}]
    ]
