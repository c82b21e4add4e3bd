"""`rdpt grade`: verdicts of answers in a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.tools.tables import rows_of_tool, write_rows


def test_answers_are_graded_and_other_columns_kept(tmp_path: Path) -> None:
    answers = [
        (
            r"\frac{1}{2}",
            "<think>\nmaybe 3\n</think>\n\nSo it is $\\frac{2}{4}$.",
            "correct",
            r"\frac{2}{4}",
        ),
        (42, "The answer is \\boxed{41}.", "wrong", "41"),
        ("42", "<think>\nthe answer is 42", "unparsed", None),
        (None, "42", "ungraded", None),
        ("42", None, "ungraded", None),
    ]
    rows = ({"id": i, "gold": gold, "pred": pred} for i, (gold, pred, _, _) in enumerate(answers))
    found = rows_of_tool(
        "grade", write_rows(tmp_path / "a.jsonl", *rows), "-o", str(tmp_path / "g.jsonl")
    )
    assert [(row["outcome"], row["extracted"]) for row in found] == [a[2:] for a in answers]
    assert [(row["id"], row["gold"]) for row in found] == list(enumerate(a[0] for a in answers))


def test_choices_are_graded_as_letters(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "a.jsonl", {"gold": "B", "pred": "The answer is (B)."})
    (row,) = rows_of_tool("grade", file, "--grader", "choice", "-o", str(tmp_path / "g.jsonl"))
    assert (row["outcome"], row["extracted"]) == ("correct", "B")


def test_golds_that_are_no_text_are_read_as_a_run_reads_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golds = [True, None, [1, "x"], {"a": None}, 1e-05, "Text", 2**70, False]
    preds = ["True", "x", "1, x", '{"a": null}', "0.00001", "Text", str(2**70), False]
    rows = ({"gold": gold, "pred": pred} for gold, pred in zip(golds, preds, strict=True))
    file = write_rows(tmp_path / "a.jsonl", *rows)
    found = rows_of_tool("grade", file, "--grader", "exact", "-o", str(tmp_path / "g.jsonl"))
    outcomes = ["correct", "ungraded", "correct", "ungraded", *["correct"] * 4]
    assert [row["outcome"] for row in found] == outcomes
    assert "1 gold answers cannot be read" in capsys.readouterr().err
