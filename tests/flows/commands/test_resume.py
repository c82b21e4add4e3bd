"""`rdpt resume`: an experiment as it was first run, whatever has become of its file."""

from __future__ import annotations

import pytest

from flows import cli
from flows.commands import run
from flows.workspace import Opened
from tests.flows.example_experiments import Studio
from tests.flows.recorded_requests import output_of

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Opened]:
    """The experiments whose missing parts would be built."""
    found: list[Opened] = []

    def build(opened: Opened) -> int:
        found.append(opened)
        return 3

    monkeypatch.setenv("RDPT_TRACKING", "off")
    monkeypatch.setattr(run, "_build", build)
    return found


@pytest.mark.parametrize("name", [["study"], []])
def test_a_complete_experiment_prints_its_results_and_builds_nothing(
    here: Studio, begun: list[Opened], capsys: Capture, name: list[str]
) -> None:
    (here.folder / "study.toml").unlink()
    first = output_of(capsys, "resume", *name)
    assert "teacher_count" in first
    assert output_of(capsys, "resume", *name) == first
    assert not begun


def test_a_file_that_has_changed_since_changes_nothing(
    here: Studio, begun: list[Opened], capsys: Capture
) -> None:
    here.open(beta=0.3)
    output_of(capsys, "resume", "study")
    assert not begun
    output_of(capsys, "run", "study.toml", code=3)
    (opened,) = begun
    assert opened.experiment.labels.beta == 0.3


def test_what_is_missing_is_built_and_its_failure_is_the_exit_code(
    here: Studio, begun: list[Opened], capsys: Capture
) -> None:
    store = here.open().store
    (record,) = store.records("selection")
    store.file(record.part).unlink()
    assert output_of(capsys, "resume", "study", "--no-wait", code=3) == ""
    (opened,) = begun
    assert not opened.runtime.wait


def test_an_unknown_name_is_told_the_known_ones(here: Studio, capsys: Capture) -> None:
    assert cli.main(["resume", "stuty"]) == 2
    assert "no run named 'stuty'; runs: study" in capsys.readouterr().err
