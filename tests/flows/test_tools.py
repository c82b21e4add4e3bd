"""One step of the method on somebody's own files: `rdpt segment`, `score`, `label`, `grade`."""

from __future__ import annotations

import csv
import io
import json
import shlex
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tokenizers import Tokenizer, processors
from transformers import AutoModelForCausalLM, AutoTokenizer

from flows import cli
from flows.commands.verb import Verb
from flows.tools.grade import GradeAnswers
from flows.tools.label import LabelSentences
from flows.tools.score import Score
from flows.tools.segment import Segment
from flows.tools.select import Select
from rdpt_core.files import reading
from rdpt_core.grading.verdicts import GradeRule
from rdpt_core.models.spec import ModelSpec
from rdpt_core.provenance.labels import LabelRule
from rdpt_core.sources.traces import TraceSource
from rdpt_core.tables.columns import read_parquet
from rdpt_core.tables.recipe import Rule
from rdpt_core.tables.rows import TokenScores
from rdpt_core.text.segmentation import SegmentRule
from tests.conftest import ROOT
from tests.core.models import tiny

FIGURE = ROOT / "tests/golden/dasd_fig5_180.csv"
STUDENT = ROOT / "rdpt_core/pocket/models/student"


def write(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def made(*arguments: str) -> list[dict[str, Any]]:
    """The rows that a tool writes."""
    assert cli.main([*arguments]) == 0
    text = Path(arguments[-1]).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


# ---------------------------------------------------------------------------- segment


TRACE = "Hm <think>\nLet x = 1.5. Then é = 2.\n\nSo 🙂.\n</think>\n\nThe answer is 2."


@pytest.mark.parametrize("segmenter", ["maths", "regex", "lines"])
@pytest.mark.parametrize("delimiters", ["none", "<think>"])
def test_sentences_join_to_their_text(tmp_path: Path, segmenter: str, delimiters: str) -> None:
    file = write(
        tmp_path / "t.jsonl", {"trace_id": "a", "text": TRACE}, {"trace_id": 7, "text": ""}
    )
    rows = made(
        "segment",
        file,
        "--segmenter",
        segmenter,
        "--delimiters",
        delimiters,
        "-o",
        str(tmp_path / "s.jsonl"),
    )
    assert "".join(row["text"] for row in rows) == TRACE
    assert {row["trace_id"] for row in rows} == {"a"}
    assert [row["position"] for row in rows] == list(range(len(rows)))
    for row in rows:
        assert TRACE.encode()[row["start"] : row["stop"]].decode() == row["text"]
    zones = {"answer"} if delimiters == "none" else {"answer", "tag", "thought"}
    assert {row["zone"] for row in rows} == zones


def test_tools_pipe(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    line = json.dumps({"trace_id": "a", "text": "One. Two."}).encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(line)))
    assert cli.main(["segment", "-", "-o", "-"]) == 0
    out = capsysbinary.readouterr().out.decode()
    assert [json.loads(row)["text"] for row in out.splitlines()] == ["One. ", "Two."]


def test_a_reader_that_leaves_is_no_fault(tmp_path: Path) -> None:
    file = write(tmp_path / "t.jsonl", {"trace_id": "a", "text": "Yes.\n" * 100_000})
    command = (
        f"{shlex.quote(sys.executable)} -m flows.cli segment {shlex.quote(str(file))} -o - "
        "| head -n 1; echo ${PIPESTATUS[0]}"
    )
    ran = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout.splitlines()[1:] == ["141"]
    assert ran.stderr == ""


# ---------------------------------------------------------------------------- label


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
    file = write(tmp_path / "p.jsonl", *({"p_teacher": t, "p_student": s} for t, s in rows))
    found = made("label", file, "-o", str(tmp_path / "l.jsonl"))
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
    assert f"p.jsonl: row 2: p_student {shown} is no " in line
    assert [path.name for path in tmp_path.iterdir()] == ["p.jsonl"]


def test_a_third_column_that_begins_late_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[dict[str, Any]] = [{"p_teacher": 0.5, "p_student": 0.5} for _ in range(8)]
    rows[5]["p_distilled"] = 0.25
    file, out = write(tmp_path / "p.jsonl", *rows), tmp_path / "l.jsonl"
    monkeypatch.setattr(reading, "ROWS", 4)
    assert cli.main(["label", file, "-o", str(out)]) == 2
    assert "p.jsonl: row 6: p_distilled 0.25 begins late" in capsys.readouterr().err
    assert not out.exists()
    rows[0]["p_distilled"] = None
    write(tmp_path / "p.jsonl", *rows)
    labels = [row["label"] for row in made("label", file, "-o", str(out))]
    assert [label is None for label in labels] == [place != 5 for place in range(8)]


# ---------------------------------------------------------------------------- grade


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
    found = made("grade", write(tmp_path / "a.jsonl", *rows), "-o", str(tmp_path / "g.jsonl"))
    assert [(row["outcome"], row["extracted"]) for row in found] == [a[2:] for a in answers]
    assert [(row["id"], row["gold"]) for row in found] == list(enumerate(a[0] for a in answers))


def test_choices_are_graded_as_letters(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", {"gold": "B", "pred": "The answer is (B)."})
    (row,) = made("grade", file, "--grader", "choice", "-o", str(tmp_path / "g.jsonl"))
    assert (row["outcome"], row["extracted"]) == ("correct", "B")


def test_golds_that_are_no_text_are_read_as_a_run_reads_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golds = [True, None, [1, "x"], {"a": None}, 1e-05, "Text", 2**70, False]
    preds = ["True", "x", "1, x", '{"a": null}', "0.00001", "Text", str(2**70), False]
    rows = ({"gold": gold, "pred": pred} for gold, pred in zip(golds, preds, strict=True))
    file = write(tmp_path / "a.jsonl", *rows)
    found = made("grade", file, "--grader", "exact", "-o", str(tmp_path / "g.jsonl"))
    outcomes = ["correct", "ungraded", "correct", "ungraded", *["correct"] * 4]
    assert [row["outcome"] for row in found] == outcomes
    assert "1 gold answers cannot be read" in capsys.readouterr().err


# ---------------------------------------------------------------------------- score


PROMPT = "Ann has 12 apples and buys 30 more. How many apples does she have now?"
TEXTS = ["12 + 30 = 42. The answer is 42.", " <|im_end|> so 🙂\n", ""]


@torch.inference_mode()
def one_by_one(model: Any, prompt: list[int], ids: list[int], num_ids: int) -> list[float]:
    """Float64 log-probability of each id, by one forward over what stands before it."""
    found = []
    for place, token_id in enumerate(ids):
        logits = model(input_ids=torch.tensor([[*prompt, *ids[:place]]])).logits[0, -1, :num_ids]
        found.append(float(torch.log_softmax(logits, 0)[token_id]))
    return found


def with_spec(folder: Path, **changed: Any) -> Path:
    """The folder, with parts of its tokenizer.json replaced."""
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    return folder


def without_template(folder: Path) -> Path:
    """A SentencePiece model whose tokenizer writes BOS, and blanks before what it reads."""
    tiny.make_llama(folder, template=None)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    bos = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(
        "<s> $A", special_tokens=[("<s>", bos)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def with_prefix_space(folder: Path) -> Path:
    """A byte-level model whose tokenizer puts a blank before every text."""
    tiny.make_qwen(folder)
    level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    return with_spec(folder, pre_tokenizer=level)


@pytest.mark.parametrize("kind", ["pocket", "qwen", "llama", "no template", "prefix space"])
def test_scores_are_those_of_a_slow_reference(tmp_path: Path, kind: str) -> None:
    make = {
        "qwen": tiny.make_qwen,
        "llama": tiny.make_llama,
        "no template": without_template,
        "prefix space": with_prefix_space,
    }
    folder = STUDENT if kind == "pocket" else make[kind](tmp_path / "model")
    rows = [{"trace_id": text, "prompt": PROMPT, "text": text} for text in TEXTS]
    out = tmp_path / "s.parquet"
    file = write(tmp_path / "t.jsonl", *rows)
    assert cli.main(["score", file, "--model", str(folder), "-o", str(out)]) == 0
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    found = read_parquet(TokenScores, out)
    assert [row.trace_id for row in found] == TEXTS
    for text, row in zip(TEXTS, found, strict=True):
        prompt = tokenizer(PROMPT).input_ids
        if tokenizer.chat_template:
            turn = [{"role": "user", "content": PROMPT}]
            prompt = tokenizer.apply_chat_template(turn, add_generation_prompt=True).input_ids
        ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
        # float32 against float64 over the same ids: rounding alone
        wanted = one_by_one(model, prompt, ids, len(tokenizer))
        np.testing.assert_allclose(row.logprobs, wanted, atol=1e-4)
        assert sum(map(int, row.token_bytes)) == row.scored_stop == len(text.encode())
        assert (row.status, row.end_logprob, row.num_tag_tokens) == ("ok", None, 0)


def test_a_blank_of_the_tokenizer_owns_no_byte(tmp_path: Path) -> None:
    for make in (without_template, with_prefix_space):
        folder = make(tmp_path / make.__name__)
        tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        file = write(tmp_path / "t.jsonl", {"trace_id": "a", "prompt": PROMPT, "text": "*x"})
        (row,) = made("score", file, "--model", str(folder), "-o", str(tmp_path / "s.jsonl"))
        ids = tokenizer("*x", add_special_tokens=False, split_special_tokens=True).input_ids
        assert len(row["logprobs"]) == len(ids)
        assert row["token_bytes"][0] == len(tokenizer.convert_ids_to_tokens(ids)[0]) - 1
        assert sum(row["token_bytes"]) == 2


def test_a_thought_of_the_text_is_text_where_the_prompt_opens_one(tmp_path: Path) -> None:
    """The template of the tiny Llama ends its prompt with `<think>`: nothing closes it."""
    folder = tiny.make_llama(tmp_path / "model")
    text = "First I add.\n</think>\n\nThe answer is 42."
    file = write(tmp_path / "t.jsonl", {"trace_id": "a", "prompt": PROMPT, "text": text})
    (row,) = made("score", file, "--model", str(folder), "-o", str(tmp_path / "s.jsonl"))
    assert row["tag_logprob"] is None
    assert None not in row["logprobs"]
    assert sum(row["token_bytes"]) == len(text)


def test_what_cannot_be_scored_has_a_status_and_no_numbers_for_it(tmp_path: Path) -> None:
    folder = tiny.make_llama(tmp_path / "model")
    rows: list[dict[str, Any]] = [
        {"trace_id": "a", "prompt": PROMPT, "text": "so 42 " * 300},
        {"trace_id": "b", "prompt": None, "text": "x"},
        {"trace_id": "c", "prompt": "x", "text": None},
        {"trace_id": "d", "prompt": "x", "text": "a real \u2581"},
        {"trace_id": "e", "prompt": "x", "text": "42"},
    ]
    file = write(tmp_path / "t.jsonl", *rows)
    found = made("score", file, "--model", str(folder), "-o", str(tmp_path / "s.jsonl"))
    assert [row["status"] for row in found] == ["partial", "error", "error", "error", "ok"]
    assert [row["trace_id"] for row in found] == ["a", "b", "c", "d", "e"]
    assert 0 < sum(found[0]["token_bytes"]) == found[0]["scored_stop"] < len("so 42 " * 300)
    for row in found[1:4]:
        assert (row["token_bytes"], row["logprobs"], row["scored_stop"]) == ([], [], 0)


# ---------------------------------------------------------------------------- mistakes


MISTAKES: dict[str, tuple[dict[str, Any], list[str], str]] = {
    "segment": ({"text": "x"}, [], "no column trace_id: needed are trace_id, text; found are text"),
    "label": ({"p_teacher": 0.5}, [], "no column p_student"),
    "grade": ({"gold": "x"}, [], "no column pred"),
    "score": (
        {"trace_id": "a", "prompt": "x", "text": "x"},
        ["--model", "./nowhere"],
        "there is no such folder",
    ),
}


@pytest.mark.parametrize("verb", MISTAKES)
def test_a_mistake_exits_2_and_leaves_nothing(
    tmp_path: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    row, more, message = MISTAKES[verb]
    file = write(tmp_path / "in.jsonl", row)
    assert cli.main([verb, file, *more, "-o", str(tmp_path / "out.parquet")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"trace_id": "a", "text": None}, "row 1: text None is no text"),
        ({"trace_id": "a", "text": 5}, "row 1: text 5 is no text"),
        ({"trace_id": None, "text": "x"}, "row 1: trace_id None is missing"),
    ],
)
def test_a_row_that_cannot_be_cut_is_named(
    tmp_path: Path, row: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "t.jsonl", row)
    assert cli.main(["segment", file, "-o", str(tmp_path / "s.csv")]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "option", "rule", "field"),
    [
        (Segment, "segmenter", SegmentRule, "name"),
        (Segment, "delimiters", TraceSource, "delimiters"),
        (GradeAnswers, "delimiters", TraceSource, "delimiters"),
        (GradeAnswers, "grader", GradeRule, "grader"),
        (LabelSentences, "alpha", LabelRule, "alpha"),
        (LabelSentences, "beta", LabelRule, "beta"),
        (Select, "beta", LabelRule, "beta"),
        (Score, "dtype", ModelSpec, "dtype"),
    ],
)
def test_an_option_has_the_default_of_the_rule_behind_it(
    verb: type[Verb], option: str, rule: type[Rule], field: str
) -> None:
    assert verb.model_fields[option].default == rule.model_fields[field].default


def test_unknown_delimiters_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "t.jsonl", {"trace_id": "a", "text": "x"})
    assert cli.main(["segment", file, "--delimiters", "think", "-o", "-"]) == 2
    assert "--delimiters:\n  delimiters 'think' is not known" in capsys.readouterr().err


def test_tools_need_neither_prefect_nor_mlflow(tmp_path: Path) -> None:
    file = write(tmp_path / "p.jsonl", {"p_teacher": 0.5, "p_student": 0.5})
    code = (
        f"import sys; from flows import cli; cli.main(['label', {file!r}, '-o', '-']); "
        "print([name for name in ('prefect', 'mlflow', 'duckdb') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout.splitlines()[-1] == "[]"
