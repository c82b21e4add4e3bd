"""A gold is read exactly, or refused."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rdpt_core.sources.account import Ledger
from rdpt_core.sources.golds import gold_text, last_boxed
from rdpt_core.sources.problems import FileSource, blocks


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


def test_boxes_are_read_with_their_braces_balanced() -> None:
    assert last_boxed("\\boxed{1} and \\boxed{\\{1, {2}\\}}") == "\\{1, {2}\\}"
    assert last_boxed("\\boxed{1") is None
    assert gold_text("in the end #### $1,000.50") == "$1000.50"
