"""`rdpt select`: somebody's table of sentences in, ranked candidates out."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows import cli
from rdpt_core.selection.candidate_tables import NEEDS
from rdpt_core.selection.picks import Selector, select
from rdpt_core.selection.selectors import SELECTORS
from tests.core.sample_texts import Text, drawn, records_of, sentence_scores

Row = dict[str, Any]


def sentence(problem: str, trace: str, position: int, num_tokens: int, **more: Any) -> Row:
    return {
        "problem_id": problem,
        "trace_id": trace,
        "position": position,
        "num_tokens": num_tokens,
        **more,
    }


def p(teacher: float | None, student: float | None) -> Row:
    return {"p_teacher": teacher, "p_student": student}


ROWS = [
    sentence("q1", "a", 0, 10, **p(0.9, 0.5)),
    sentence("q1", "b", 1, 30, **p(0.9, 0.85)),
    sentence("q2", "c", 0, 10, **p(0.2, 0.9)),
    sentence("q1", "a", 1, 10, **p(0.9, 0.5)),
    sentence("q1", "b", 0, 10, **p(0.9, 0.5)),
    sentence("q2", "d", 0, 10, **p(0.5, 0.9)),
    sentence("q2", "e", 0, 12, **p(0.5, None)),
]


def write(path: Path, rows: list[Row]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def selected(folder: Path, rows: list[Row], *options: str) -> list[Row]:
    source = write(folder / "in.jsonl", rows)
    assert cli.main(["select", str(source), "-o", str(folder / "out.parquet"), *options]) == 0
    found: list[Row] = pq.read_table(folder / "out.parquet").to_pylist()
    return found


def refused(
    folder: Path, capsys: pytest.CaptureFixture[str], rows: list[Row], *options: str
) -> str:
    source = write(folder / "in.jsonl", rows)
    assert cli.main(["select", str(source), "-o", str(folder / "out.jsonl"), *options]) == 2
    assert [path.name for path in folder.iterdir()] == ["in.jsonl"]
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


# ---------------------------------------------------------------- what it gives


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_candidates_are_ranked_within_their_problems(tmp_path: Path, suffix: str) -> None:
    source = write(tmp_path / f"in{suffix}", ROWS)
    out = tmp_path / "out.jsonl"
    assert cli.main(["select", str(source), "-o", str(out)]) == 0
    found = [tuple(json.loads(line).values()) for line in out.read_text().splitlines()]
    assert found == [
        ("q1", "a", 1, 2.0, 20, False),
        ("q1", "b", 2, 1.0, 40, True),
        ("q2", "c", 1, 0.0, 10, False),
        ("q2", "d", 2, 0.0, 10, False),  # a tie, and as long: the smaller id is before
        ("q2", "e", None, None, 12, True),  # its score is missing
    ]


def test_what_has_no_merit_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    selected(tmp_path, [*ROWS, sentence("q3", "f", 0, 3, **p(None, 0.2))])
    said = capsys.readouterr().err
    assert said == "rdpt: 6 candidates of 3 problems; without merit 2, problems without pick 1\n"


def test_a_label_is_used_where_there_is_one_and_beta_where_there_is_none(tmp_path: Path) -> None:
    labels = ["teacher", "shared", "teacher", "boosted", "student", "common", None]
    rows = [{**row, "label": label} for row, label in zip(ROWS, labels, strict=True)]
    merits = {row["trace_id"]: row["merit"] for row in selected(tmp_path, rows)}
    assert merits == {"a": 1.0, "b": 0.0, "c": 1.0, "d": 0.0, "e": None}
    merits = {row["trace_id"]: row["merit"] for row in selected(tmp_path, ROWS, "--beta", "0.04")}
    assert merits == {"a": 2.0, "b": 2.0, "c": 0.0, "d": 0.0, "e": None}


def test_a_sentence_that_owns_no_token_is_no_missing_score(tmp_path: Path) -> None:
    inside = [
        sentence("q", "a", 0, 4, **p(0.9, 0.1)),
        sentence("q", "a", 1, 0, **p(None, None)),
        sentence("q", "a", 2, 4, **p(0.9, 0.1)),
    ]
    assert selected(tmp_path, inside)[0]["merit"] == 2.0
    assert selected(tmp_path, inside[:2])[0]["merit"] is None  # its scores may have been cut there


def test_a_probability_of_zero_has_no_logarithm(tmp_path: Path) -> None:
    rows = [sentence("q", "a", 0, 4, **p(0.5, 0.0)), sentence("q", "b", 0, 4, **p(0.5, 0.1))]
    assert selected(tmp_path, rows)[0]["trace_id"] == "a"
    for name in ("grape_mean", "mean_log_ratio"):
        found = selected(tmp_path, rows, "--selector", name)
        assert [(row["trace_id"], row["rank"]) for row in found] == [("b", 1), ("a", None)]


def test_lengths_need_no_scores(tmp_path: Path) -> None:
    rows = [sentence("q", "a", 0, 4), sentence("q", "b", 0, 6)]
    for name, pick in (("longest", "b"), ("shortest", "a")):
        assert selected(tmp_path, rows, "--selector", name)[0]["trace_id"] == pick
    picks = {
        selected(tmp_path, rows, "--selector", "random", "--seed", str(seed))[0]["trace_id"]
        for seed in range(9)
    }
    assert picks == {"a", "b"}


# ---------------------------------------------------------------- as the pipeline selects


def scored_rows(texts: list[Text]) -> list[Row]:
    """Rows of `sentence_scores` with their problem, of teacher, student and one more scorer."""
    problem = {text.name: text.problem for text in texts}
    rows = [
        {name: getattr(one, name) for name in one.__slots__} | {"problem_id": problem[one.trace_id]}
        for scores in sentence_scores(texts)
        for one in scores
    ]
    return [*rows, *({**row, "scorer": "D", "logprob": -99.0} for row in rows[::2])]


def probability_rows(texts: list[Text]) -> list[Row]:
    _, student = sentence_scores(texts)
    both = [pair for text in texts for pair in text.p()]
    problem = {text.name: text.problem for text in texts}
    return [
        sentence(
            problem[row.trace_id],
            row.trace_id,
            row.position,
            row.num_tokens,
            sum_entropy=row.sum_entropy,
            sum_rank100=row.sum_rank100,
            **p(*pair),
        )
        for row, pair in zip(student, both, strict=True)
    ]


def test_every_selector_says_what_it_needs() -> None:
    assert NEEDS.keys() == SELECTORS.keys()


@pytest.mark.parametrize("form", ["scores", "probabilities"])
@pytest.mark.parametrize("name", sorted(SELECTORS))
def test_picks_and_merits_are_those_of_the_pipeline(tmp_path: Path, name: str, form: str) -> None:
    texts = drawn()
    expected = select(records_of(texts, 0.1), Selector(name=name), 7)
    rows = scored_rows(texts) if form == "scores" else probability_rows(texts)
    roles = ("--teacher", "T", "--student", "S") if form == "scores" else ()
    found = selected(tmp_path, rows[::-1], "--selector", name, "--seed", "7", *roles)
    best = {row["trace_id"]: row["merit"] for row in found if row["rank"] == 1}
    shift = {"longest": -2, "shortest": 2}.get(name, 0)  # delimiters, which no sentence holds
    if name != "count_length_matched":  # where they move the tenth of the length
        assert best == pytest.approx({e.trace_id: e.merit + shift for e in expected}, rel=1e-9)
    assert len(found) == len(texts)
    assert {row["problem_id"] for row in found if row["rank"] == 1} == {t.problem for t in texts}


def test_a_matched_arm_has_the_tokens_of_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = probability_rows(drawn(60, 6))

    def total(*options: str) -> int:
        return sum(r["num_tokens"] for r in selected(tmp_path, rows, *options) if r["rank"] == 1)

    target = total("--selector", "teacher_count")
    assert total("--selector", "random") != pytest.approx(target, rel=0.01)
    matched = total("--selector", "random", "--match-tokens", "teacher_count")
    assert matched == pytest.approx(target, rel=0.01)
    assert "not within 1%" not in capsys.readouterr().err
    rows = [sentence("q", "a", 0, 9, **p(0.9, None)), sentence("q", "b", 0, 99, **p(0.1, 0.1))]
    selected(tmp_path, rows, "--match-tokens", "shortest")  # which only the unscored one has
    assert "tokens are not within 1%" in capsys.readouterr().err


# ---------------------------------------------------------------- mistakes

MISTAKES = {
    "no column sum_rank100": (ROWS, ("--selector", "rsr")),
    "no column p_teacher, p_student": ([sentence("q", "a", 0, 1)], ()),
    "no column scorer, logprob": (ROWS, ("--student", "S")),
    "--teacher needs --student": (ROWS, ("--teacher", "T")),
    "did you mean longest?": (ROWS, ("--selector", "longst")),
    "--match-tokens: 'most' is not a selector": (ROWS, ("--match-tokens", "most")),
    "row 1: p_teacher 1.5 is not a probability": ([sentence("q", "a", 0, 1, **p(1.5, 0.1))], ()),
    "row 1: p_student NaN": ([sentence("q", "a", 0, 1, **p(0.5, float("nan")))], ()),
    "num_tokens -1 is no whole number": ([sentence("q", "a", 0, -1, **p(0.5, 0.1))], ()),
    "num_tokens None is no whole number": (
        [{**sentence("q", "a", 0, 1, **p(0.5, 0.1)), "num_tokens": None}],
        (),
    ),
    "sentence 1 of trace a is there twice": ([*ROWS, ROWS[3]], ()),
    "row 8: trace_id a belongs to two problems": ([*ROWS, {**ROWS[0], "problem_id": "q9"}], ()),
    "row 1: label techer is no label": ([{**ROWS[0], "label": "techer"}], ()),
    "row 1: trace_id  is missing": ([{**ROWS[0], "trace_id": None}], ()),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_exits_2_names_itself_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], message: str
) -> None:
    rows, options = MISTAKES[message]
    said = refused(tmp_path, capsys, rows, *options)
    assert message in said
    assert "Traceback" not in said


SCORES = [
    sentence("q", "a", 0, 1, scorer=scorer, logprob=logprob)
    for scorer, logprob in (("T", -0.1), ("S", -2.0))
]
BOTH = ("--teacher", "T", "--student", "S")
SCORED_MISTAKES = {
    "no row has the scorer X": (SCORES, ("--teacher", "X", "--student", "S")),
    "did not score the same sentences (2 and 1 rows)": (
        [*SCORES, {**SCORES[0], "position": 1}],
        BOTH,
    ),
    "name the teacher's rows": (SCORES, ("--student", "S")),
    "logprob 0.5 is no logarithm": ([{**SCORES[0], "logprob": 0.5}, SCORES[1]], BOTH),
    "no column problem_id": (
        [{name: row[name] for name in row if name != "problem_id"} for row in SCORES],
        BOTH,
    ),
}


@pytest.mark.parametrize("message", SCORED_MISTAKES)
def test_a_mistake_in_rows_of_sentence_scores_exits_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], message: str
) -> None:
    rows, options = SCORED_MISTAKES[message]
    assert message in refused(tmp_path, capsys, rows, *options)


def test_a_table_without_rows_has_no_candidates(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(
        "problem_id,trace_id,position,num_tokens,p_teacher,p_student\n"
    )
    out = tmp_path / "out.csv"
    assert cli.main(["select", str(tmp_path / "in.csv"), "-o", str(out)]) == 0
    assert out.read_text() == "problem_id,trace_id,rank,merit,num_tokens,is_longest\n"
