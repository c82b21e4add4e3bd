"""`rdpt why`: what differs from the nearest existing part."""

from __future__ import annotations

import pytest

from flows import cli
from flows.workspace import open_file
from tasks.plan import Plan
from tasks.worker import Worker
from tests.flows.example_experiments import Studio
from tests.flows.recorded_requests import output_of
from tests.stages.toy_stages import Journal

Capture = pytest.CaptureFixture[str]


def test_why_names_a_table_that_is_complete(here: Studio, capsys: Capture) -> None:
    said = output_of(capsys, "why", "study", "provenance")
    assert said.count("complete (2 parts), up to date") == 1
    assert "to be built\n" not in said


def test_why_names_the_parameter_with_its_old_and_new_value(here: Studio, capsys: Capture) -> None:
    said = output_of(capsys, "why", here.write_changed(beta=0.2), "provenance")
    assert "provenance train [teacher_count]: 2 of 2 parts to be built" in said
    assert "rule.beta: 0.1 -> 0.2" in said
    assert said.count("->") == said.count("rule.beta: ")


def test_why_follows_an_input_to_the_table_that_differs(here: Studio, capsys: Capture) -> None:
    text = (here.folder / "study.toml").read_text()
    file = here.folder / "shorter.toml"
    file.write_text(text.replace("max_new_tokens = 6, batch", "max_new_tokens = 3, batch"))
    opened = open_file(file, here.open().runtime)
    traces = opened.study.configurations()[-1].find("traces", "train")
    assert traces is not None
    Worker(Plan(opened.store), opened.runtime, Journal()).build(traces)
    said = [line.strip() for line in output_of(capsys, "why", str(file), "sentences").splitlines()]
    start = next(n for n, line in enumerate(said) if line.startswith("traces differ: "))
    assert said[start + 1] == "sampling.max_new_tokens: 6 -> 3"


def test_why_follows_a_blocked_table_to_what_is_to_be_built(here: Studio, capsys: Capture) -> None:
    said = output_of(capsys, "why", here.write_changed(segmenter="lines"), "selection")
    assert "selection train [teacher_count]: 1 part to wait for " in said
    assert "sentences train [teacher_count]: 2 of 2 parts to be built" in said
    assert 'rule.name: "maths" -> "lines"' in said


def test_why_says_that_a_part_was_lost(here: Studio, capsys: Capture) -> None:
    next((here.folder / "workspace" / "store" / "grades").glob("*.parquet")).unlink()
    assert "its file is missing or has changed" in output_of(capsys, "why", "study", "grades")


def test_why_changes_nothing(here: Studio, capsys: Capture) -> None:
    next((here.folder / "workspace" / "store" / "grades").glob("*.parquet")).unlink()
    before = sorted((here.folder / "workspace").rglob("*"))
    output_of(capsys, "why", here.write_changed(beta=0.3), "results")
    assert sorted((here.folder / "workspace").rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("study", "sentence"), "the experiment has no table 'sentence': did you mean sentences?"),
        (("study", "grades", "--configuration", "teacher_cuont"), "did you mean teacher_count?"),
        (("studdy", "grades"), "no file 'studdy'"),
    ],
)
def test_a_misspelt_question_exits_2_with_the_right_spelling(
    here: Studio, capsys: Capture, arguments: tuple[str, ...], message: str
) -> None:
    capsys.readouterr()
    assert cli.main(["why", *arguments]) == 2
    assert message in capsys.readouterr().err
