"""What all verbs share: a workspace by option, an output file, one JSON document, quiet."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from flows import cli
from flows.cli import VERBS
from flows.commands.verb import Verb
from tests.flows.example_experiments import Studio
from tests.flows.recorded_requests import output_of, refused

Capture = pytest.CaptureFixture[str]
DOCUMENTS = {
    ("runs",): {"workspace", "experiments"},
    ("plan", "study.toml"): {"experiment", "tables", "sources", "bytes_to_build", "bytes_free"},
    ("run", "study.toml"): {"experiment", "results"},
    ("resume",): {"experiment", "results"},
    ("status",): {"experiments", "cannot_be_opened"},
    ("compare", "study"): {"experiment", "results"},
    ("why", "study", "sentences"): {"experiment", "tables"},
    ("verify",): {"parts", "bytes", "damaged"},
    ("gc", "--dry-run"): {"dry_run", "items"},
    ("doctor", "study"): {"findings"},
    ("show",): {
        "trace_id",
        "configuration",
        "side",
        "problem_id",
        "prompt",
        "gold",
        "extracted",
        "outcome",
        "finish_reason",
        "near",
        "sentences",
    },
}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("arguments", DOCUMENTS)
def test_json_is_one_document_with_known_keys(arguments: tuple[str, ...], capsys: Capture) -> None:
    document = json.loads(output_of(capsys, *arguments, "--json"))
    assert document.keys() == DOCUMENTS[arguments]


def test_every_verb_that_has_json_is_tested_or_says_its_own() -> None:
    takes = {name for name in VERBS if "as_json" in _model(name).model_fields}
    assert takes - {"sql", "lineage", "report"} == {arguments[0] for arguments in DOCUMENTS}


def _model(name: str) -> type[Verb]:
    from importlib import import_module

    place, _, class_name = VERBS[name].place.partition(":")
    found: type[Verb] = getattr(import_module(place), class_name)
    return found


def test_what_is_missing_is_null_and_a_complete_plan_says_so(here: Studio, capsys: Capture) -> None:
    planned = json.loads(output_of(capsys, "plan", "study.toml", "--json"))["tables"]
    assert {one["state"] for one in planned} == {"cached"}
    assert {one["estimate"] for one in planned if one["table"] == "grades"} == {None}
    rows = json.loads(output_of(capsys, "compare", "study", "--json"))["results"]
    assert {row["configuration"] for row in rows} == {"teacher", "student", "teacher_count"}
    assert any(row["low"] is None for row in rows)


def test_a_damaged_part_is_in_the_document_of_verify(here: Studio, capsys: Capture) -> None:
    part = next((here.folder / "workspace" / "store" / "grades").glob("*.parquet"))
    part.write_bytes(b"x")
    document = json.loads(output_of(capsys, "verify", "--json", code=6))
    assert [(one["table"], one["part"]) for one in document["damaged"]] == [("grades", part.stem)]


def test_a_workspace_by_option_is_the_variable_of_this_command_alone(
    here: Studio, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert output_of(capsys, "runs") == ""
    found = output_of(capsys, "runs", "--workspace", str(here.folder / "workspace"))
    assert found.startswith("study\t")
    assert "RDPT_WORKSPACE" not in os.environ
    monkeypatch.setenv("RDPT_WORKSPACE", "elsewhere")
    assert output_of(capsys, "runs", "--workspace", str(here.folder / "workspace")) == found
    assert os.environ["RDPT_WORKSPACE"] == "elsewhere"


def test_an_output_file_holds_what_standard_output_would(here: Studio, capsys: Capture) -> None:
    expected = output_of(capsys, "runs")
    assert output_of(capsys, "runs", "-o", "runs.tsv") == ""
    assert Path("runs.tsv").read_text() == expected
    query = "SELECT 'é' AS letter"
    assert output_of(capsys, "sql", query, "--json", "--output", "letter.json") == ""
    assert json.loads(Path("letter.json").read_text()) == [{"letter": "é"}]


@pytest.mark.usefixtures("here")
def test_an_error_leaves_no_output_file_and_keeps_the_old_one(capsys: Capture) -> None:
    assert "there is no folder nowhere" in refused(capsys, "runs", "-o", "nowhere/runs.tsv")
    Path("old.csv").write_text("old")
    refused(capsys, "sql", "SELECT broken", "-o", "old.csv")
    assert Path("old.csv").read_text() == "old"


@pytest.mark.usefixtures("here")
def test_quiet_leaves_errors_and_results(capsys: Capture) -> None:
    assert cli.main(["run", "study.toml"]) == 0
    loud = capsys.readouterr()
    assert "up to date" in loud.err
    assert cli.main(["run", "study.toml", "--quiet"]) == 0
    quiet = capsys.readouterr()
    assert quiet.out == loud.out
    assert quiet.err == ""
    assert cli.main(["run", "nothing.toml", "-q"]) == 2
    assert "no file 'nothing.toml'" in capsys.readouterr().err
    assert cli.main(["run", "study.toml"]) == 0
    assert "up to date" in capsys.readouterr().err
