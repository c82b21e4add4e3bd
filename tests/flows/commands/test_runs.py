"""`rdpt runs`: one line for each experiment, also for one that cannot be opened."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.workspace import freeze, open_file
from settings.runtime import Runtime
from tests.flows.example_experiments import Studio
from tests.flows.recorded_requests import output_of

Capture = pytest.CaptureFixture[str]


def lines(capsys: Capture) -> dict[str, list[str]]:
    """What follows each name."""
    table = [line.split("\t") for line in output_of(capsys, "runs").splitlines()]
    return {name: rest for name, *rest in table}


def test_an_experiment_is_listed_with_its_complete_tables_and_its_folder(
    here: Studio, capsys: Capture
) -> None:
    num = len(here.open().study.tables())
    assert lines(capsys) == {"study": [f"{num} of {num} tables", str(here.folder)]}
    shutil.rmtree(here.folder / "workspace" / "store" / "provenance")
    ((done, _),) = lines(capsys).values()
    assert 0 < int(done.split()[0]) < num


def test_an_experiment_without_its_model_hides_no_other(here: Studio, capsys: Capture) -> None:
    text = (here.folder / "study.toml").read_text().replace('"study"', '"second"')
    other = here.folder / "second.toml"
    other.write_text(text.replace('"teacher"', '"other"'))
    freeze(open_file(other, Runtime(workspace=here.folder / "workspace", threads=1)))
    shutil.rmtree(here.folder / "other")
    found = lines(capsys)
    assert found["second"][0] == "cannot be opened"
    assert str(here.folder / "other") in found["second"][1]
    assert found["study"][0].endswith(" tables")


def test_an_empty_workspace_names_the_next_command(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RDPT_WORKSPACE", str(tmp_path / "none"))
    assert output_of(capsys, "runs") == ""
    assert output_of(capsys, "runs") == ""
    assert not (tmp_path / "none").exists()
