"""`rdpt label`: labels of probabilities in a table."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows import cli
from rdpt_core.files import reading
from tests.conftest import ROOT
from tests.flows.tools.tables import rows_of_tool, write_rows

FIGURE = ROOT / "tests/golden/dasd_fig5_180.csv"


@pytest.mark.parametrize(
    ("alpha", "beta", "agree"),
    [(0.1, 0.1, 180), (0.1, 0.05, 164), (0.05, 0.1, 156), (0.1, 0.15, 154), (0.15, 0.1, 160)],
)
def test_labels_of_the_figure(tmp_path: Path, alpha: float, beta: float, agree: int) -> None:
    out = tmp_path / "labelled.csv"
    thresholds = ["--alpha", str(alpha), "--beta", str(beta)]
    assert cli.main(["label", str(FIGURE), *thresholds, "-o", str(out)]) == 0
    with FIGURE.open(newline="") as before, out.open(newline="") as after:
        given, found = list(csv.DictReader(before)), list(csv.DictReader(after))
    same = [a["label"].lower() == b["label"] for a, b in zip(given, found, strict=True)]
    assert sum(same) == agree
    assert [row["sentence"] for row in found] == [row["sentence"] for row in given]


def test_two_columns_give_three_way_labels_and_null_stays_null(tmp_path: Path) -> None:
    rows = [(0.9, 0.1), (0.1, 0.9), (0.5, 0.45), (None, 0.5), (0.5, None)]
    file = write_rows(tmp_path / "p.jsonl", *({"p_teacher": t, "p_student": s} for t, s in rows))
    found = rows_of_tool("label", file, "-o", str(tmp_path / "l.jsonl"))
    assert [row["label"] for row in found] == ["teacher", "student", "common", None, None]
    assert [row["direction"] for row in found] == [None] * 5
    margins = [0.7, 0.7, 0.05, None, None]
    assert [row["margin"] for row in found] == [m and pytest.approx(m) for m in margins]
    assert [(row["p_teacher"], row["p_student"]) for row in found] == rows


def test_other_columns_pass_with_their_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "p_teacher": pa.array([0.75], pa.float32()),
            "p_student": pa.array([0.25], pa.float32()),
            "p_distilled": pa.array([0.875], pa.float32()),
            "day": pa.array([date(2024, 1, 1)]),
            "tokens": pa.array([[1, 2]], pa.list_(pa.uint8())),
            "kind": pa.array(["x"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "p.parquet")
    out = tmp_path / "l.parquet"
    assert cli.main(["label", str(tmp_path / "p.parquet"), "-o", str(out)]) == 0
    found = pq.read_table(out)
    assert found.select(table.schema.names).equals(table)
    assert found.select(["label", "direction", "margin"]).to_pylist() == [
        {"label": "teacher", "direction": "up", "margin": 0.4}
    ]


@pytest.mark.parametrize(
    ("value", "shown"), [("1.5", "1.5"), ("-0.1", "-0.1"), ("NaN", "NaN"), ('"high"', "high")]
)
def test_what_is_no_probability_is_refused_by_row_and_value(
    tmp_path: Path, value: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ['{"p_teacher": 0.5, "p_student": 0.5}', f'{{"p_teacher": 0.5, "p_student": {value}}}']
    (tmp_path / "p.jsonl").write_text("\n".join(lines))
    assert cli.main(["label", str(tmp_path / "p.jsonl"), "-o", str(tmp_path / "l.jsonl")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"p.jsonl: row 2: p_student {shown} is not a " in line
    assert [path.name for path in tmp_path.iterdir()] == ["p.jsonl"]


def test_a_third_column_that_begins_late_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[dict[str, Any]] = [{"p_teacher": 0.5, "p_student": 0.5} for _ in range(8)]
    rows[5]["p_distilled"] = 0.25
    file, out = write_rows(tmp_path / "p.jsonl", *rows), tmp_path / "l.jsonl"
    monkeypatch.setattr(reading, "ROWS", 4)
    assert cli.main(["label", file, "-o", str(out)]) == 2
    assert "p.jsonl: row 6: p_distilled 0.25 begins late" in capsys.readouterr().err
    assert not out.exists()
    rows[0]["p_distilled"] = None
    write_rows(tmp_path / "p.jsonl", *rows)
    labels = [row["label"] for row in rows_of_tool("label", file, "-o", str(out))]
    assert [label is None for label in labels] == [place != 5 for place in range(8)]
